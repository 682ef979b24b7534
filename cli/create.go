package cli

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"kata/jail"
	"kata/oci"
	"kata/sandbox/proxy"
	"kata/sandbox/shim"
	"kata/sandbox/state"
)

// createFlags are what create and run have in common.
type createFlags struct {
	bundle, consoleSocket string
	detach, keep          bool
	preserve              uint
	announcement
}

func (c *createFlags) register(fs *flag.FlagSet) {
	for _, name := range []string{"bundle", "b"} {
		fs.StringVar(&c.bundle, name, "", "bundle directory (default: the current one)")
	}
	fs.StringVar(&c.consoleSocket, "console-socket", "", "unix socket that receives the terminal")
	c.announcement.register(fs)
	fs.Bool("no-pivot", false, "accepted for compatibility: the guest always pivots")
	fs.Bool("no-new-keyring", false, "accepted for compatibility")
	fs.Bool("no-subreaper", false, "accepted for compatibility")
	c.registerPreserve(fs)
}

func checkID(id string) (string, error) {
	if err := oci.ValidID(id); err != nil {
		return "", err
	}
	return id, nil
}

// created is a container that waits for its start.
type created struct {
	dir    state.Dir
	record *state.Record
	bundle *oci.Bundle
	netns  *os.File          // the network namespace that the sandbox takes over; nil for none
	more   []shim.Descriptor // that the process gets besides standard I/O
	ack    *proxy.Conn       // the proxy ends unless it hears that the record is written
}

// create makes the sandbox and the container. Nothing is left behind when it fails.
func (a *app) create(id string, c *createFlags) (_ *created, err error) {
	more, err := c.descriptors()
	if err != nil {
		return nil, err
	}
	if c.bundle == "" {
		c.bundle = "."
	}
	if c.bundle, err = filepath.Abs(c.bundle); err != nil {
		return nil, err
	}
	bundle, err := oci.Load(c.bundle)
	if err != nil {
		return nil, err
	}
	for _, w := range bundle.Warnings {
		a.log("warning", w)
	}
	dir, err := state.Make(a.root, id)
	if err != nil {
		return nil, err
	}
	target, err := a.findSandbox(bundle.Spec)
	if err != nil {
		_ = dir.Remove()
		return nil, err
	}
	asked := ""
	if bundle.Spec.Linux != nil {
		asked = bundle.Spec.Linux.CgroupsPath
	}
	k := &created{dir: dir, bundle: bundle, more: more, record: &state.Record{ID: id, Bundle: c.bundle, Rootfs: bundle.Rootfs, Hooks: bundle.Spec.Hooks,
		CgroupDirs: jail.CgroupDirs(proxy.CgroupPath(id, proxy.CleanCgroupPath(asked)))}}
	if target != nil {
		k.record.CgroupDirs = nil // it has those of the sandbox
	}
	defer func() {
		if err != nil {
			if derr := a.discard(k); derr != nil {
				a.log("warning", derr.Error())
			}
		}
	}()
	if err := dir.Save(k.record); err != nil {
		return nil, err
	}
	if k.netns, err = networkOf(bundle.Spec, c); err != nil {
		return nil, err
	}
	if target != nil {
		return k, a.join(k, c, target)
	}
	return k, a.startProxy(k, c)
}

// startProxy starts the sandbox's owner and waits until the container is created.
func (a *app) startProxy(k *created, c *createFlags) error {
	exe, err := helper("kata-proxy")
	if err != nil {
		return err
	}
	l, err := k.dir.Listen()
	if err != nil {
		return fmt.Errorf("socket of the sandbox: %w", err)
	}
	defer l.Close()
	lf, err := l.File()
	if err != nil {
		return err
	}
	defer lf.Close()
	mine, theirs, err := connection()
	if err != nil {
		return err
	}
	defer theirs.Close()
	files := []*os.File{devNull(), devNull(), devNull(), theirs, lf}
	if k.netns != nil {
		files = append(files, k.netns)
	}
	if a.debug {
		files[2] = os.Stderr
	}
	proc, err := os.StartProcess(exe, []string{"kata-proxy", "--root", a.root, "--id", k.record.ID}, &os.ProcAttr{
		Dir: "/", Env: environment(), Files: files,
		Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return fmt.Errorf("start kata-proxy: %w", err)
	}
	theirs.Close()
	k.record.Proxy = state.Identify(proc.Pid)
	if err := k.dir.Save(k.record); err != nil { // state tells "creating" from "stopped" by it
		mine.Close()
		return err
	}
	_ = proc.Release()
	config := cmp.Or(a.config, os.Getenv("KATA_CONF_FILE"))
	if config != "" {
		if config, err = filepath.Abs(config); err != nil {
			return err
		}
	}
	resp, err := mine.Call(&proxy.Request{Op: proxy.Create, Create: &proxy.CreateRequest{
		ID: k.record.ID, Bundle: c.bundle, Choice: proxy.Choice{Config: config, Isolation: a.isolation, Hypervisor: a.hypervisor, Debug: a.debug}, Network: k.netns != nil,
		Descriptors: shim.Accesses(k.more)}})
	if errors.Is(err, state.ErrGone) {
		return fmt.Errorf("kata-proxy ended before the container was created: %w", err)
	}
	if err != nil {
		return err
	}
	dirs := k.record.CgroupDirs
	*k.record = resp.Created.Record
	for _, w := range resp.Created.Warnings {
		a.log("warning", w)
	}
	k.record.CgroupDirs = dirs
	k.ack = mine
	return nil
}

// environment is what the helpers inherit: the rest of an engine's environment is
// not theirs.
func environment() []string {
	var env []string
	if v, ok := os.LookupEnv("PATH"); ok {
		env = append(env, "PATH="+v)
	}
	return env
}

func devNull() *os.File {
	f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		panic(err) // a host without /dev/null runs nothing
	}
	return f
}

func connection() (*proxy.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	f := os.NewFile(uintptr(fds[0]), "control")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		unix.Close(fds[1])
		return nil, nil, err
	}
	return proxy.NewConn(c.(*net.UnixConn)), os.NewFile(uintptr(fds[1]), "control"), nil
}

// commit writes the record, runs the hooks that belong to the creation, and lets
// the proxy go on by itself. pid is the host process that stands for the container.
func (k *created) commit(pid int, a *announcement) error {
	k.closeNetwork()
	k.record.Shim = state.Identify(pid)
	if err := k.dir.Save(k.record); err != nil {
		return err
	}
	if err := createHooks(k.record); err != nil {
		return err
	}
	if err := a.make(pid, "standard"); err != nil {
		return err
	}
	defer k.ack.Close()
	return k.ack.Acknowledge()
}

// checkTerminal refuses combinations that would leave a terminal without an owner.
func checkTerminal(terminal, detached bool, consoleSocket string) error {
	switch {
	case terminal && detached && consoleSocket == "":
		return errors.New("cannot allocate a terminal for a process that is left alone, without --console-socket")
	case !terminal && consoleSocket != "":
		return errors.New("--console-socket is of no use: process.terminal is false")
	case !detached && consoleSocket != "":
		return errors.New("--console-socket is for a process that is left alone; this command would wait for it: use --detach")
	case terminal && !detached && consoleSocket == "" && !shim.IsTerminal(os.Stdin):
		return errors.New("process.terminal is true, but standard input is not a terminal")
	}
	return nil
}

func isNotExist(err error) bool {
	return errors.Is(err, state.ErrNotExist) || errors.Is(err, fs.ErrNotExist)
}
