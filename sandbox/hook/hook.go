// Package hook runs the hooks of a bundle that run on the host (OCI runtime
// specification, config.md, "POSIX-platform Hooks"): in the namespaces of whoever
// calls, with the container's state on standard input. Those of the container
// itself, startContainer, are the agent's; nothing here enters a guest, and
// nothing here decides when a hook's time has come.
package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxOutput is how much a hook may say about its failure, in bytes for each of its
// outputs. The rest is dropped.
const maxOutput = 8 << 10

// drainTime is how long a hook's outputs may stay open after its end, as they do
// when it leaves a process behind.
const drainTime = 500 * time.Millisecond

// Run runs hooks one after the other and stops at the first that fails. name is
// what the configuration calls them; errors have runc's wording.
func Run(name string, hooks []specs.Hook, st *specs.State) error {
	if len(hooks) == 0 {
		return nil
	}
	state, err := json.Marshal(st)
	if err != nil {
		return err
	}
	for i := range hooks {
		if err := run(&hooks[i], st.Bundle, state); err != nil {
			return fmt.Errorf("error running %s hook #%d: %w", name, i, err)
		}
	}
	return nil
}

// RunAll runs every hook and returns what those that failed have to say.
func RunAll(name string, hooks []specs.Hook, st *specs.State) error {
	var errs []error
	for i := range hooks {
		if err := Run(name, hooks[i:i+1], st); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func run(h *specs.Hook, dir string, state []byte) error {
	ctx := context.Background()
	if h.Timeout != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(*h.Timeout)*time.Second,
			fmt.Errorf("hook ran past specified timeout of %.1fs", float64(*h.Timeout)))
		defer cancel()
	}
	args := h.Args
	if len(args) == 0 {
		args = []string{h.Path}
	}
	var stdout, stderr head
	cmd := exec.CommandContext(ctx, h.Path)
	cmd.Args, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = args, h.Env, bytes.NewReader(state), &stdout, &stderr
	cmd.WaitDelay = drainTime
	// One that is late ends with what it has started.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	if fi, err := os.Stat(dir); err == nil && fi.IsDir() { // poststop may come after the bundle's end
		cmd.Dir = dir
	}
	err := cmd.Run()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("%w, stdout: %s, stderr: %s", err, stdout.b, stderr.b)
}

// head keeps the beginning of what is written to it.
type head struct{ b []byte }

func (h *head) Write(p []byte) (int, error) {
	h.b = append(h.b, p[:min(len(p), maxOutput-len(h.b))]...)
	return len(p), nil
}
