package cli

import (
	"fmt"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"kata/sandbox/hook"
	"kata/sandbox/proxy"
	"kata/sandbox/state"
)

// The hooks that run on the host run here: in the namespaces of the command, with
// the pid that stands for the container. docs/oci.md says which hook runs where.

// hookState is what a hook reads. There is no pid in the state of a container that
// has stopped.
func hookState(r *state.Record, status specs.ContainerState) *specs.State {
	st := &specs.State{Version: specs.Version, ID: r.ID, Status: status, Bundle: r.Bundle, Annotations: r.Annotations}
	if status != specs.StateStopped {
		st.Pid = r.Shim.PID
	}
	return st
}

// createHooks are those between the creation of the container's environment and
// the end of create. The host has one set of namespaces to run createContainer in:
// the container's mount namespace is in the guest.
func createHooks(r *state.Record) error {
	if r.Hooks == nil {
		return nil
	}
	st := hookState(r, specs.StateCreating)
	for _, h := range []struct {
		name  string
		hooks []specs.Hook
	}{
		//lint:ignore SA1019 Docker still writes it
		{"prestart", r.Hooks.Prestart},
		{"createRuntime", r.Hooks.CreateRuntime}, {"createContainer", r.Hooks.CreateContainer},
	} {
		if err := hook.Run(h.name, h.hooks, st); err != nil {
			return err
		}
	}
	return nil
}

// noTimeout is the patience with a hook that may take as long as it likes.
const noTimeout = 24 * time.Hour

// start lets the container's process run, with the hooks before and after that.
func start(dir state.Dir, r *state.Record) error {
	req := &proxy.Request{Op: proxy.Start}
	if r.Hooks != nil {
		for _, h := range r.Hooks.StartContainer { // the agent's, before it answers
			if h.Timeout == nil {
				req.Patience += noTimeout
			} else {
				req.Patience += time.Duration(*h.Timeout) * time.Second
			}
		}
	}
	if _, err := proxy.Call(dir, req); err != nil {
		return err
	}
	if r.Hooks == nil || len(r.Hooks.Poststart) == 0 {
		return nil
	}
	err := hook.Run("poststart", r.Hooks.Poststart, hookState(r, specs.StateRunning))
	if err != nil { // "stop the container" (runtime.md, "Lifecycle"); it may have ended by itself
		_, _ = proxy.Call(dir, &proxy.Request{Op: proxy.Signal, Signal: int(unix.SIGKILL), All: true})
	}
	return err
}

// poststop runs when a container is gone; its failures are only told.
func (a *app) poststop(r *state.Record) {
	if r.Hooks == nil {
		return
	}
	if err := hook.RunAll("poststop", r.Hooks.Poststop, hookState(r, specs.StateStopped)); err != nil {
		a.log("warning", fmt.Sprintf("container %q is deleted: %s", r.ID, oneLine(err.Error())))
	}
}
