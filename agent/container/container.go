package container

import (
	"fmt"
	"os"
	"path"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"kata/agent/api"
	"kata/rootfs"
)

// State of a container, as the OCI runtime specification names them.
type state int

const (
	created state = iota
	running
	stopped
	starting // its hooks run
)

// Container is one container of the guest. Its methods may be called concurrently.
type Container struct {
	id     string
	reaper *Reaper
	cgroup *cgroup
	fence  fence
	rootFD int  // keeps the root filesystem reachable for syncfs
	disks  bool // it has block devices

	mu    sync.Mutex
	state state
	init  *process
	execs map[string]*process

	hooks     []api.Hook
	hookState []byte

	unmountShare func()
}

// Create prepares a container whose process waits for Start. Nothing is left
// behind when it fails. find looks up the containers whose namespaces are joined.
// network is the sandbox's network namespace, nil for the guest's.
// Errors: api.Error for what the configuration causes.
func Create(r *Reaper, req *api.CreateRequest, streams Streams, find Find, network *os.File) (*Container, error) {
	if _, err := nullDevice(); err != nil {
		return nil, err
	}
	f, err := newFence(req, find)
	if err != nil {
		return nil, err
	}
	unmount, err := mountShare(req)
	if err != nil {
		return nil, err
	}
	cg, err := newCgroup(req.ID, req.Cgroup)
	if err == nil {
		if err = cg.filterDevices(req.DeviceFilter); err != nil {
			cg.remove()
		}
	}
	if err != nil {
		unmount()
		return nil, err
	}
	c := &Container{id: req.ID, unmountShare: unmount, reaper: r, cgroup: cg, fence: *f, rootFD: -1, execs: map[string]*process{},
		hooks: req.StartHooks, hookState: req.HookState,
		init: &process{spec: &req.Process, exited: make(chan struct{})}}
	c.disks = slices.ContainsFunc(req.Devices, func(d api.Device) bool { return d.Mode&unix.S_IFMT == unix.S_IFBLK })
	exit, err := c.cloneInit(req, find, network)
	if err != nil {
		cg.remove()
		unmount()
		return nil, fmt.Errorf("clone: %w", err)
	}
	c.init.watch(exit, c.initExited)
	if err = inThread(func() error { return c.prepare(req, streams) }); err == nil {
		err = c.init.adjust(&c.fence)
	}
	if err != nil {
		c.Remove()
		return nil, err
	}
	return c, nil
}

// prepare runs on a thread of its own.
func (c *Container) prepare(req *api.CreateRequest, streams Streams) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	if err := c.identify(req); err != nil {
		return err
	}
	root := &rootBuilder{req: req, ids: c.fence.ids, reaper: c.reaper, pid: c.init.pid, root: rootfs.Root{FD: -1}, null: -1, empty: -1}
	defer root.close()
	if err := root.openSources(); err != nil {
		return err
	}
	join := int((req.Namespaces | joined(req)) & (unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP))
	join |= unix.CLONE_NEWNET
	if err := unix.Setns(c.init.pidfd, join); err != nil {
		return fmt.Errorf("enter the container's namespaces: %w", err)
	}
	if err := c.fence.ids.assume(); err != nil {
		return err
	}
	if req.Hostname != "" {
		if err := unix.Sethostname([]byte(req.Hostname)); err != nil {
			return fmt.Errorf("hostname: %w", err)
		}
	}
	if req.Domainname != "" {
		if err := unix.Setdomainname([]byte(req.Domainname)); err != nil {
			return fmt.Errorf("domainname: %w", err)
		}
	}
	if err := root.build(); err != nil {
		return err
	}
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	c.rootFD = fd
	p := c.init
	if p.stdio, err = c.openStdio(p.spec, streams); err != nil {
		return err
	}
	if p.spec.Terminal {
		if err := root.bindConsole(p.stdio.child[0]); err != nil {
			return fmt.Errorf("/dev/console: %w", err)
		}
	}
	if err := root.makeCwd(p.spec.Cwd); err != nil {
		return err
	}
	if err := root.finish(); err != nil {
		return err
	}
	command, err := lookPath(p.spec)
	if err != nil {
		return err
	}
	p.script.addProcess(p.spec, &c.fence, command, p.stdio.child)
	return nil
}

// identify settles who the container's first process is: what the kernel lets the
// guest say only from outside of its namespaces.
func (c *Container) identify(req *api.CreateRequest) error {
	ids := c.fence.ids
	if req.Namespaces&unix.CLONE_NEWUSER != 0 {
		if err := writeMappings(c.init.pid, ids.uids, ids.gids); err != nil {
			return fmt.Errorf("linux.uidMappings and gidMappings: %w", err)
		}
	}
	return ids.delegate(c.cgroup, req)
}

// Network opens the network namespace that the container is in.
func (c *Container) Network() (*os.File, error) {
	return os.Open(fmt.Sprintf("/proc/%d/ns/net", c.init.pid))
}

// Start lets the container's process run its command.
func (c *Container) Start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != created {
		return &api.Error{Code: api.CodePrecondition, Message: "cannot start a container that has already been started"}
	}
	if err := c.runHooks(); err != nil {
		return err
	}
	c.state = running
	return c.init.run()
}

// Exec starts another process in a container, be it that its first one waits for Start. In a frozen one it waits
// until that goes on; everything else can be done in the meantime.
func (c *Container) Exec(req *api.ExecRequest, streams Streams) (int, error) {
	p := &process{spec: &req.Process, pidfd: -1, exited: make(chan struct{})}
	cgroup, err := c.cgroup.sub(req.Cgroup)
	if err != nil {
		return 0, err
	}
	defer unix.Close(cgroup)
	if err := c.reserve(req.Exec, p); err != nil {
		return 0, err
	}
	if err := c.runExec(p, cgroup, streams); err != nil {
		c.mu.Lock()
		delete(c.execs, req.Exec)
		c.mu.Unlock()
		return 0, err
	}
	return p.pid, nil
}

func (c *Container) reserve(name string, p *process) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == stopped {
		return &api.Error{Code: api.CodePrecondition, Message: "cannot exec in a container that is stopped"}
	}
	if c.execs[name] != nil {
		return &api.Error{Code: api.CodeAlreadyExists, Message: fmt.Sprintf("process %q exists", name)}
	}
	c.execs[name] = p
	return nil
}

func (c *Container) runExec(p *process, cgroup int, streams Streams) error {
	if err := inThread(func() error { return c.exec(p, cgroup, streams) }); err != nil {
		return err
	}
	if err := p.adjust(&c.fence); err != nil {
		_ = p.signal(unix.SIGKILL)
		p.stdio.started()
		p.gone()
		return err
	}
	if err := p.run(); err != nil {
		p.gone() // nobody waits for it, and its name is free again
		return err
	}
	return nil
}

// exec runs on a thread of its own: what it joins, the process inherits.
func (c *Container) exec(p *process, cgroup int, streams Streams) error {
	if err := c.enter(); err != nil {
		return err
	}
	command, err := lookPath(p.spec)
	if err != nil {
		return err
	}
	if p.stdio, err = c.openStdio(p.spec, streams); err != nil {
		return err
	}
	if err := c.launch(p, command, cgroup); err != nil {
		p.stdio.started()
		p.stdio.close()
		return err
	}
	return nil
}

// enter takes the calling thread into the container's namespaces.
func (c *Container) enter() error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	const most = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET
	if err := unix.Setns(c.init.pidfd, most); err != nil {
		return fmt.Errorf("enter the container's namespaces: %w", err)
	}
	return c.fence.ids.assume()
}

// launch clones a process from a thread that is in the namespaces, up to the point
// where it would run its command.
func (c *Container) launch(p *process, command string, cgroup int) error {
	exit, err := p.clone(c.reaper, c.fence.clock.flag(), cgroup)
	if err != nil {
		return fmt.Errorf("clone: %w", err)
	}
	// The cgroup namespace last: from inside it nothing can be cloned into a cgroup.
	p.script.add("enter the cgroup namespace", 0, unix.SYS_SETNS, uintptr(c.init.pidfd), unix.CLONE_NEWCGROUP)
	c.fence.ids.join(p.script, c.init.pidfd)
	p.script.addProcess(p.spec, &c.fence, command, p.stdio.child)
	p.watch(exit, nil)
	return nil
}

// initExited runs when the first process is gone, and everything in its pid
// namespace with it: what the container wrote goes to the host's files before
// anybody learns of the exit.
func (c *Container) initExited() {
	c.mu.Lock()
	c.state = stopped
	c.mu.Unlock()
	c.cgroup.kill() // without a pid namespace of its own, others may live on
	if c.rootFD >= 0 {
		_ = unix.Syncfs(c.rootFD)
	}
	if c.disks {
		unix.Sync() // file systems on them, too, wherever they are mounted
	}
}

func (c *Container) process(exec string) (*process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if exec == "" {
		return c.init, nil
	}
	if p := c.execs[exec]; p != nil {
		return p, nil
	}
	return nil, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("no process %q in the container", path.Base(exec))}
}

// Signal sends a signal to one process, or to all.
func (c *Container) Signal(req *api.SignalRequest) error {
	if req.All {
		return c.cgroup.signal(unix.Signal(req.Signal))
	}
	p, err := c.process(req.Exec)
	if err != nil {
		return err
	}
	return p.signal(unix.Signal(req.Signal))
}

// Wait blocks until the process has ended; its output may still be on its way.
func (c *Container) Wait(exec string) (*api.WaitResponse, error) {
	p, err := c.process(exec)
	if err != nil {
		return nil, err
	}
	<-p.exited
	resp := &api.WaitResponse{Status: p.status, OOMKilled: c.cgroup.oomKilled()}
	if exec != "" {
		c.mu.Lock()
		delete(c.execs, exec)
		c.mu.Unlock()
		unix.Close(p.pidfd)
	}
	return resp, nil
}

// Resize sets the size of a process' terminal.
func (c *Container) Resize(req *api.ResizeRequest) error {
	p, err := c.process(req.Exec)
	if err != nil {
		return err
	}
	if p.stdio == nil {
		return &api.Error{Code: api.CodePrecondition, Message: "the process has no terminal"}
	}
	return p.stdio.resize(req.Rows, req.Columns)
}

// Remove kills what is left and frees the container.
func (c *Container) Remove() {
	_ = c.init.signal(unix.SIGKILL)
	<-c.init.exited
	c.mu.Lock()
	if c.init.script != nil && c.init.stdio != nil { // never started
		c.init.stdio.started()
	}
	c.init.script = nil
	c.mu.Unlock()
	unix.Close(c.init.pidfd)
	if c.rootFD >= 0 {
		unix.Close(c.rootFD)
	}
	c.cgroup.remove()
	c.unmountShare()
}
