package sandbox

import (
	"context"

	"kata/agent/api"
)

// Freeze stops all processes of a container, or lets them go on.
func (s *Sandbox) Freeze(ctx context.Context, id string, frozen bool) error {
	return s.agent.Freeze(ctx, &api.FreezeRequest{ID: id, Frozen: frozen})
}

// Stats are files of the container's cgroup in the guest (kernel,
// Documentation/admin-guide/cgroup-v2.rst). What they contain is the guest's word.
func (s *Sandbox) Stats(ctx context.Context, id string) (map[string]string, error) {
	r, err := s.agent.Stats(ctx, &api.ProcessRequest{ID: id})
	if err != nil {
		return nil, err
	}
	files := make(map[string]string, len(r.Files))
	for _, f := range r.Files {
		files[f.Key] = f.Value
	}
	return files, nil
}

// Update sets limits of a container in the guest.
func (s *Sandbox) Update(ctx context.Context, req *api.UpdateRequest) error {
	return s.agent.Update(ctx, req)
}
