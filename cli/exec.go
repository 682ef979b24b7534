package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/oci"
	"kata/sandbox/proxy"
	"kata/sandbox/shim"
	"kata/sandbox/state"
)

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

// ids is a flag with a group's number that may be given several times.
type ids []uint32

func (l *ids) String() string { return "" }

func (l *ids) Set(v string) error {
	n, err := strconv.ParseUint(v, 10, 32)
	if err == nil {
		*l = append(*l, uint32(n))
	}
	return err
}

type execFlags struct {
	createFlags
	process, cwd, user   string
	env, caps, cgroup    list
	gids                 ids
	tty, noNewPrivileges bool
	ignorePaused         bool
}

func cmdExec(a *app, args []string) error {
	fs := newFlags("exec")
	var e execFlags
	fs.StringVar(&e.consoleSocket, "console-socket", "", "unix socket that receives the terminal")
	e.announcement.register(fs)
	e.registerPreserve(fs)
	for _, n := range []string{"detach", "d"} {
		fs.BoolVar(&e.detach, n, false, "do not wait for the process")
	}
	for _, n := range []string{"tty", "t"} {
		fs.BoolVar(&e.tty, n, false, "allocate a terminal")
	}
	for _, n := range []string{"process", "p"} {
		fs.StringVar(&e.process, n, "", "file with the process' specification")
	}
	for _, n := range []string{"env", "e"} {
		fs.Var(&e.env, n, "environment variable, KEY=VALUE")
	}
	for _, n := range []string{"user", "u"} {
		fs.StringVar(&e.user, n, "", "UID[:GID]")
	}
	for _, n := range []string{"additional-gids", "g"} {
		fs.Var(&e.gids, n, "additional group id")
	}
	for _, n := range []string{"cap", "c"} {
		fs.Var(&e.caps, n, "additional capability")
	}
	fs.StringVar(&e.cwd, "cwd", "", "working directory")
	fs.BoolVar(&e.noNewPrivileges, "no-new-privs", false, "forbid gaining privileges")
	fs.String("process-label", "", "accepted if empty: the guest has no SELinux")
	fs.String("apparmor", "", "accepted if empty: the guest has no AppArmor")
	fs.Var(&e.cgroup, "cgroup", "existing cgroup below the container's to run in")
	fs.BoolVar(&e.ignorePaused, "ignore-paused", false, "in a paused container, wait until it goes on")
	if err := parse(fs, args); err != nil {
		return err
	}
	for _, name := range []string{"process-label", "apparmor"} {
		if v := fs.Lookup(name).Value.String(); v != "" {
			return fmt.Errorf("exec: --%s %q: not available in the guest", name, v)
		}
	}
	if fs.NArg() < 1 {
		return errors.New("exec: needs a container id")
	}
	return notExecuted(a.exec(fs.Arg(0), &e, fs.Args()[1:]))
}

// execFailed is runc's exit code for an exec that did not come to run its command.
// Commands that return it themselves are rare.
const execFailed = 255

// notExecuted gives an error its exit code; those of the command and of a shell that
// finds none stay as they are.
func notExecuted(err error) error {
	if _, ended := errors.AsType[exitError](err); ended || err == nil {
		return err
	}
	if f, ok := errors.AsType[*proxy.Failure](err); ok && f.ExitCode() != 1 {
		return err
	}
	return &codeError{err, execFailed}
}

func (a *app) exec(id string, e *execFlags, args []string) error {
	if _, err := checkID(id); err != nil {
		return err
	}
	dir := state.At(a.root, id)
	r, err := dir.Load()
	if err != nil {
		return fmt.Errorf("container %q: %w", id, err)
	}
	p, err := e.build(r, args)
	if err != nil {
		return err
	}
	if err := checkTerminal(p.Terminal, e.detach, e.consoleSocket); err != nil {
		return err
	}
	name := rand.Text()
	cgroup, err := e.subCgroup()
	if err != nil {
		return err
	}
	more, err := e.descriptors()
	if err != nil {
		return err
	}
	req := &proxy.Request{Op: proxy.Exec, Exec: name, Process: p, Cgroup: cgroup, Descriptors: shim.Accesses(more), IgnorePaused: e.ignorePaused}
	if e.ignorePaused {
		req.Patience = pausedTime
	}
	if _, err := a.call(id, req); err != nil {
		return err
	}
	if e.detach {
		pid, err := a.startShim(dir, id, shimOptions{exec: name, terminal: p.Terminal, consoleSocket: e.consoleSocket, more: more})
		if err == nil {
			err = e.announcement.make(pid, "setns")
		}
		return err
	}
	status, err := a.relay(shim.Options{Dir: dir, Exec: name, Terminal: p.Terminal, More: more}, func() error {
		return e.announcement.make(os.Getpid(), "setns")
	})
	return a.result(status, err)
}

// pausedTime is how long exec waits for a container to be resumed, if it is to.
const pausedTime = 24 * time.Hour

// build makes the process: from a file, or from the container's own with what the
// flags say.
func (e *execFlags) build(r *state.Record, args []string) (*specs.Process, error) {
	if e.process != "" {
		raw, err := readProcess(e.process)
		if err != nil {
			return nil, err
		}
		p, err := oci.DecodeProcess(raw)
		if err == nil && e.tty {
			p.Terminal = true
		}
		return p, err
	}
	if len(args) == 0 {
		return nil, errors.New("exec: process args cannot be empty")
	}
	b, err := oci.Load(r.Bundle)
	if err != nil {
		return nil, err
	}
	p := b.Spec.Process
	p.Args, p.Terminal, p.ConsoleSize = args, e.tty, nil
	p.Env = append(p.Env, e.env...)
	if e.cwd != "" {
		p.Cwd = e.cwd
	}
	p.NoNewPrivileges = p.NoNewPrivileges || e.noNewPrivileges
	if err := e.setUser(p); err != nil {
		return nil, err
	}
	if len(e.caps) > 0 && p.Capabilities == nil {
		p.Capabilities = &specs.LinuxCapabilities{}
	}
	for _, c := range e.caps {
		if !oci.KnownCapability(c) {
			return nil, fmt.Errorf("exec: --cap %q is unknown", c)
		}
		p.Capabilities.Bounding = append(p.Capabilities.Bounding, c)
		p.Capabilities.Effective = append(p.Capabilities.Effective, c)
		p.Capabilities.Permitted = append(p.Capabilities.Permitted, c)
	}
	return p, oci.ValidateProcess(p)
}

// subCgroup is the one of --cgroup, [CONTROLLER:]CGROUP. A guest's controllers have one
// tree, cgroup v2's.
func (e *execFlags) subCgroup() (string, error) {
	if len(e.cgroup) == 0 {
		return "", nil
	}
	if len(e.cgroup) > 1 {
		return "", fmt.Errorf("exec: --cgroup %q: one is enough, for all controllers: the guest has cgroup v2", e.cgroup)
	}
	if controller, _, ok := strings.Cut(e.cgroup[0], ":"); ok {
		return "", fmt.Errorf("exec: --cgroup %q: leave the controller %s out: the guest has cgroup v2, one tree for all", e.cgroup[0], controller)
	}
	return e.cgroup[0], nil
}

func (e *execFlags) setUser(p *specs.Process) error {
	if e.user != "" {
		uid, gid, found := strings.Cut(e.user, ":")
		u, err := strconv.ParseUint(uid, 10, 32)
		if err != nil {
			return fmt.Errorf("exec: --user %q: parse %s as an int uid: %w", e.user, uid, err)
		}
		p.User.UID = uint32(u)
		if found {
			g, err := strconv.ParseUint(gid, 10, 32)
			if err != nil {
				return fmt.Errorf("exec: --user %q: parse %s as an int gid: %w", e.user, gid, err)
			}
			p.User.GID = uint32(g)
		}
	}
	p.User.AdditionalGids = append(p.User.AdditionalGids, e.gids...)
	return nil
}

func readProcess(file string) ([]byte, error) {
	f, err := os.Open(filepath.Clean(file))
	if err != nil {
		return nil, fmt.Errorf("exec: --process: %w", err)
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, oci.MaxConfigSize))
}
