package compile

import (
	"encoding/json"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/agent/api"
	"kata/oci"
)

// hooks compiles those that run in the guest: startContainer, in the container's
// namespaces. The others are the host's (package hook).
func (c *Container) hooks(b *oci.Bundle) error {
	if b.Spec.Hooks == nil || len(b.Spec.Hooks.StartContainer) == 0 {
		return nil
	}
	for _, h := range b.Spec.Hooks.StartContainer {
		out := api.Hook{Path: h.Path, Args: h.Args, Env: h.Env, InheritEnv: h.Env == nil}
		if len(out.Args) == 0 {
			out.Args = []string{h.Path}
		}
		if h.Timeout != nil {
			out.TimeoutSeconds = uint32(*h.Timeout)
		}
		c.Request.StartHooks = append(c.Request.StartHooks, out)
	}
	st, err := json.Marshal(&specs.State{Version: specs.Version, ID: c.Request.ID, Status: specs.StateCreated,
		Pid: 1, Bundle: b.Dir, Annotations: b.Spec.Annotations})
	c.Request.HookState = st
	return err
}
