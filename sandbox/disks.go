package sandbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kata/agent/api"
)

// diskTime bounds what the agent does to list the disks.
const diskTime = 10 * time.Second

// Disks are the machine's disks in the guest, in the order of the machine's Spec.
func (s *Sandbox) Disks(ctx context.Context) ([]api.Disk, error) {
	if len(s.serials) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, diskTime)
	defer cancel()
	resp, err := s.agent.Disks(ctx)
	if err != nil {
		return nil, fmt.Errorf("disks: %w", err)
	}
	found := map[string]api.Disk{}
	for _, d := range resp.Disks {
		found[d.Serial] = d
	}
	var list []api.Disk
	for _, serial := range s.serials {
		d, ok := found[serial]
		if !ok {
			return nil, errors.New("disks: the guest does not see disk " + serial)
		}
		list = append(list, d)
	}
	return list, nil
}
