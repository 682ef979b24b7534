package cli

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"kata/oci"
	"kata/sandbox/proxy"
	"kata/sandbox/state"
)

func cmdKill(a *app, args []string) error {
	fs := newFlags("kill")
	all := fs.Bool("all", false, "send the signal to every process of the container")
	fs.BoolVar(all, "a", false, "same as --all")
	if err := parse(fs, args); err != nil {
		return err
	}
	if fs.NArg() < 1 || fs.NArg() > 2 {
		return fmt.Errorf("kill: needs a container id and at most a signal, got %d arguments", fs.NArg())
	}
	id, err := checkID(fs.Arg(0))
	if err != nil {
		return err
	}
	sig := unix.SIGTERM
	if fs.NArg() == 2 {
		if sig, err = parseSignal(fs.Arg(1)); err != nil {
			return err
		}
	}
	_, err = a.call(id, &proxy.Request{Op: proxy.Signal, Signal: int(sig), All: *all})
	if errors.Is(err, state.ErrGone) {
		if *all {
			return nil // of a container that has stopped: there is none, as with runc
		}
		return errors.New("container not running")
	}
	return err
}

// parseSignal takes a number, "KILL" or "SIGKILL". 0 is no signal: it asks whether one
// could be sent.
func parseSignal(s string) (unix.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 0 || n > 64 {
			return 0, fmt.Errorf("signal %d: must be 0 to 64", n)
		}
		return unix.Signal(n), nil
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if sig := unix.SignalNum(name); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("unknown signal %q", s)
}

func cmdDelete(a *app, args []string) error {
	fs := newFlags("delete")
	force := fs.Bool("force", false, "kill the container if it still runs, and remove whatever there is")
	fs.BoolVar(force, "f", false, "same as --force")
	id, err := oneID(fs, args)
	if err != nil {
		return err
	}
	dir := state.At(a.root, id)
	r, err := dir.Load()
	if errors.Is(err, state.ErrNotExist) && !dir.Exists() {
		if *force {
			return nil
		}
		return fmt.Errorf("container %q: %w", id, err)
	}
	if err != nil && !*force {
		return fmt.Errorf("container %q: %w", id, err)
	}
	if err != nil {
		r = &state.Record{ID: id} // killed while it was being made, or damaged
	}
	if !*force {
		st, err := a.status(dir)
		if err != nil {
			return err
		}
		if st.Status != specs.StateStopped {
			return fmt.Errorf("cannot delete container %q that is not stopped: %s", id, st.Status)
		}
	}
	return a.destroy(dir, r)
}

// status asks the owner; one that is gone means stopped.
func (a *app) status(dir state.Dir) (*proxy.StatusInfo, error) {
	resp, err := proxy.Call(dir, &proxy.Request{Op: proxy.Status})
	if errors.Is(err, state.ErrGone) || isNotExist(err) {
		return &proxy.StatusInfo{Status: specs.StateStopped}, nil
	}
	if err != nil {
		return nil, err
	}
	return resp.Status, nil
}

// extension is what state says beyond the OCI runtime specification.
type extension struct {
	Isolation   string         `json:"isolation"`
	Hypervisor  string         `json:"hypervisor"`
	Sandbox     string         `json:"sandbox"`
	PIDs        map[string]int `json:"pids,omitempty"`
	Timings     any            `json:"timings,omitempty"`
	Kernel      string         `json:"kernel,omitempty"`
	MemoryKiB   uint64         `json:"memory_kib,omitempty"`
	AgentRSSKiB uint64         `json:"agent_rss_kib,omitempty"`
}

// container is one line of list, and with the extension the output of state.
type container struct {
	specs.State
	Rootfs  string     `json:"rootfs"`
	Created string     `json:"created"`
	Owner   string     `json:"owner"`
	Kata    *extension `json:"kata,omitempty"`
}

func (a *app) inspect(id string) (*container, error) {
	dir := state.At(a.root, id)
	r, err := dir.Load()
	if err != nil {
		return nil, fmt.Errorf("container %q: %w", id, err)
	}
	st, err := a.status(dir)
	if err != nil {
		return nil, err
	}
	if st.Status == specs.StateStopped && r.OCIVersion == "" && r.Proxy.Alive() {
		st.Status = specs.StateCreating
	}
	c := &container{
		State:  specs.State{Version: specVersion, ID: id, Status: st.Status, Bundle: r.Bundle, Annotations: r.Annotations},
		Rootfs: r.Rootfs, Created: r.Created.Format("2006-01-02T15:04:05.999999999Z"), Owner: ownerName(r.Owner),
		Kata: &extension{Isolation: r.Isolation, Hypervisor: r.Hypervisor, Sandbox: cmp.Or(r.Sandbox, id)},
	}
	if st.Status != specs.StateStopped {
		c.Pid = r.Shim.PID
		c.Kata.PIDs = map[string]int{"proxy": r.Proxy.PID, "shim": r.Shim.PID, "vmm": st.MachinePID}
		c.Kata.Timings, c.Kata.Kernel = st.Timings, st.Kernel
		c.Kata.MemoryKiB, c.Kata.AgentRSSKiB = st.MemoryKiB, st.AgentKiB
	}
	return c, nil
}

func cmdState(a *app, args []string) error {
	fs := newFlags("state")
	id, err := oneID(fs, args)
	if err != nil {
		return err
	}
	c, err := a.inspect(id)
	if err != nil {
		return err
	}
	return a.printJSON(c)
}

func cmdSpec(a *app, args []string) error {
	fs := newFlags("spec")
	bundle := fs.String("bundle", ".", "directory to write config.json to")
	fs.StringVar(bundle, "b", ".", "same as --bundle")
	rootless := fs.Bool("rootless", false, "not supported")
	if err := noArguments(fs, args); err != nil {
		return err
	}
	if *rootless {
		return errors.New("spec: --rootless: machines are made by root; for a container whose root is nobody outside, name a user namespace in linux.namespaces")
	}
	return writeSpec(*bundle)
}

func cmdFeatures(a *app, args []string) error {
	fs := newFlags("features")
	if err := noArguments(fs, args); err != nil {
		return err
	}
	return a.printJSON(oci.Features())
}
