package jail

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// InitName is the argument 0 under which an executable that uses Start must call
// Init, before anything else.
const InitName = "kata-jail"

// Bind lets a host file or directory in.
type Bind struct {
	// Source is a host path; symbolic links in it are followed.
	Source string
	// Overlay are the options of an overlay file system that is let in instead. It is
	// mounted nowhere else.
	Overlay string
	// Target is where it appears, an absolute path in the jail.
	Target   string
	ReadOnly bool
	// Recursive lets what is mounted below Source in as well.
	Recursive bool
	// Device says that Source is a device node that the process may use.
	Device bool
}

// Config describes a jail and the process in it.
type Config struct {
	// Dir is an existing directory that the new root is mounted on, inside the
	// jail's mount namespace only. It stays empty for everybody else.
	Dir   string
	Binds []Bind
	// Dirs are empty directories to make, absolute paths in the jail.
	Dirs []string
	// Tmpfs is a writable, executable tmpfs for the process' memory, absolute path
	// in the jail, and TmpfsBytes its size limit.
	Tmpfs      string
	TmpfsBytes int64
	// Proc, unless empty, is where a proc file system is mounted, with what belongs to
	// the process and nothing else: absolute path in the jail.
	Proc string
	// Links are symbolic links in the jail: what they point to, by absolute path.
	Links map[string]string
	// Args is the command, Args[0] being its path in the jail, and Env its
	// whole environment.
	Args []string
	Env  []string
	// Files become the descriptors 0, 1, 2, ... of the process.
	Files []*os.File
	// CPUs it may run on; empty means all.
	CPUs   []int
	Cgroup *Cgroup
	// Capabilities that the process keeps, within its user namespace.
	Capabilities []int
	// Syscalls is the allow-list, by number; a process that calls any other gets
	// EPERM.
	Syscalls []uint32
	// Ioctls are the requests of ioctl(2) that it may make, and IoctlTypes types all of
	// whose requests it may, unless ioctl is in Syscalls; others get ENOTTY. A device
	// has requests that lead to what was not let in.
	Ioctls     []uint32
	IoctlTypes []byte
	Rlimits    []Rlimit
	// Substitute, unless nil, is what the process gets when it first opens a file,
	// whichever, with O_RDWR and no other flag. It is for a monitor that opens for
	// writing what it only maps for itself: the file can be open for reading, and
	// the process has no way to change it. Needs Linux 5.14.
	Substitute *os.File
	// Copied has it get a copy of Substitute instead, in memory that is its own to write.
	Copied bool
	// FixedAddresses turns address space randomization off.
	FixedAddresses bool
}

// Rlimit is one setrlimit(2); a hard limit below Value is kept as it is.
type Rlimit struct {
	Resource int
	Value    uint64
}

// Process is a confined process.
type Process struct {
	// PID is the host's process id of the jail's PID 1; the process itself and all
	// it starts are its descendants.
	PID int

	proc   *os.Process
	conn   *net.UnixConn // breaks the jail when closed
	exited chan struct{}
	status exitStatus
}

// exitStatus is what PID 1 reports last.
type exitStatus struct {
	Started bool
	Error   string
	Code    int
	Signal  int
}

// order is what the owner tells PID 1: the part of the configuration that is
// carried out inside. Descriptors are numbers in PID 1.
type order struct {
	Dir, Tmpfs     string
	TmpfsBytes     int64
	Dirs           []string
	Binds          []boundFD
	Args, Env      []string
	Files          []int
	Substitute     int // 0 is none
	Copied         bool
	CPUs           []int
	CgroupTasks    []string
	Capabilities   []int
	Syscalls       []uint32
	Ioctls         []uint32
	IoctlTypes     []byte
	Rlimits        []Rlimit
	FixedAddresses bool
	Proc           string
	Links          map[string]string
}

type boundFD struct {
	FD     int
	Target string
	Dir    bool
}

// Start builds the jail and starts the process in it. It returns when the process
// has been executed. Errors say which step of the jail failed.
func Start(c *Config) (*Process, error) {
	owner, inner, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer inner.Close()
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr, inner}
	for i := range 3 {
		files[i] = devNull()
	}
	o := order{Dir: c.Dir, Tmpfs: c.Tmpfs, TmpfsBytes: c.TmpfsBytes, Dirs: c.Dirs, Args: c.Args, Env: c.Env,
		CPUs: c.CPUs, Capabilities: c.Capabilities, Syscalls: c.Syscalls, Ioctls: c.Ioctls, IoctlTypes: c.IoctlTypes, Rlimits: c.Rlimits, FixedAddresses: c.FixedAddresses, Proc: c.Proc, Links: c.Links}
	for _, b := range c.Binds {
		f, dir, err := openBind(b)
		if err != nil {
			owner.Close()
			return nil, fmt.Errorf("jail: let %s in: %w", b.Source, err)
		}
		defer f.Close()
		o.Binds = append(o.Binds, boundFD{len(files), b.Target, dir})
		files = append(files, f)
	}
	for _, f := range c.Files {
		o.Files = append(o.Files, len(files))
		files = append(files, f)
	}
	if c.Substitute != nil {
		o.Substitute, o.Copied = len(files), c.Copied
		files = append(files, c.Substitute)
	}
	attr := &os.ProcAttr{Dir: "/", Env: []string{}, Files: files, Sys: namespaces()}
	if c.Cgroup != nil {
		o.CgroupTasks = c.Cgroup.tasks
		if c.Cgroup.unified != nil {
			attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(c.Cgroup.unified.Fd())
		}
	}
	p, err := startInit(attr, owner, &o)
	if err != nil {
		owner.Close()
		return nil, fmt.Errorf("jail: %w", err)
	}
	return p, nil
}

func startInit(attr *os.ProcAttr, owner *os.File, o *order) (*Process, error) {
	proc, err := os.StartProcess("/proc/self/exe", []string{InitName}, attr)
	if err != nil {
		return nil, err
	}
	defer owner.Close()
	nc, err := net.FileConn(owner)
	if err != nil {
		_ = proc.Kill()
		return nil, err
	}
	p := &Process{PID: proc.Pid, proc: proc, conn: nc.(*net.UnixConn), exited: make(chan struct{})}
	started := make(chan exitStatus, 1)
	go p.watch(started)
	if err := json.NewEncoder(p.conn).Encode(o); err != nil {
		p.Kill()
		return nil, err
	}
	if st := <-started; !st.Started {
		p.Kill()
		if st.Error == "" {
			st.Error = "its first process ended early"
		}
		return nil, errors.New(st.Error)
	}
	return p, nil
}

// watch reads PID 1's reports (started, then ended) and collects it.
func (p *Process) watch(started chan<- exitStatus) {
	dec := json.NewDecoder(io.LimitReader(p.conn, 64<<10))
	var st exitStatus
	err := dec.Decode(&st)
	started <- st
	if err == nil && st.Started {
		// No report means that PID 1 itself was killed.
		p.status.Signal = int(unix.SIGKILL)
		var end exitStatus
		if dec.Decode(&end) == nil {
			p.status = end
		}
	}
	_, _ = p.proc.Wait()
	p.conn.Close()
	close(p.exited)
}

// Kill ends everything in the jail; Done follows.
func (p *Process) Kill() {
	_ = p.proc.Kill() // by its pidfd: an error means that it has ended
}

// Done is closed when nothing in the jail runs any more.
func (p *Process) Done() <-chan struct{} { return p.exited }

// Err says how the process ended, once Done is closed; nil is exit code 0.
func (p *Process) Err() error {
	switch {
	case p.status.Signal != 0:
		return fmt.Errorf("killed by signal %d (%v)", p.status.Signal, syscall.Signal(p.status.Signal))
	case p.status.Code != 0:
		return fmt.Errorf("exit code %d", p.status.Code)
	}
	return nil
}

func socketpair() (owner, inner *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "jail"), os.NewFile(uintptr(fds[1]), "jail"), nil
}

var devNull = sync.OnceValue(func() *os.File {
	f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		panic(err) // a host without /dev/null runs nothing
	}
	return f
})

// namespaces are those of the jail. Every user and group id of this namespace
// maps to itself: owners of files keep their names, and root inside has no
// privilege over anything outside.
func namespaces() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
			unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		UidMappings:                identity("/proc/self/uid_map"),
		GidMappings:                identity("/proc/self/gid_map"),
		GidMappingsEnableSetgroups: true,
		Setsid:                     true,
	}
}

func identity(file string) []syscall.SysProcIDMap {
	b, err := os.ReadFile(file)
	if err != nil {
		return []syscall.SysProcIDMap{{Size: 65536}}
	}
	var m []syscall.SysProcIDMap
	var inside, outside, size int
	for len(b) > 0 {
		n, err := fmt.Sscanln(string(b), &inside, &outside, &size)
		if n != 3 || err != nil {
			break
		}
		m = append(m, syscall.SysProcIDMap{ContainerID: inside, HostID: inside, Size: size})
		for len(b) > 0 && b[0] != '\n' {
			b = b[1:]
		}
		b = b[min(1, len(b)):]
	}
	return m
}

// openBind makes a detached mount of what is let in, restricted as asked.
func openBind(b Bind) (*os.File, bool, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	var recursive uint
	if b.Recursive {
		recursive = unix.AT_RECURSIVE
	}
	var fd int
	var err error
	if b.Overlay != "" {
		fd, err = mountOverlay(b.Overlay)
	} else {
		fd, err = unix.OpenTree(unix.AT_FDCWD, b.Source, flags|recursive)
	}
	if err != nil {
		return nil, false, err
	}
	f := os.NewFile(uintptr(fd), b.Source)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID, Propagation: unix.MS_PRIVATE}
	if !b.Device {
		attr.Attr_set |= unix.MOUNT_ATTR_NODEV
	}
	if b.ReadOnly {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|recursive, &attr); err != nil {
		f.Close()
		return nil, false, err
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, false, err
	}
	return f, fi.IsDir(), nil
}
