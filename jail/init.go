package jail

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// connFD is PID 1's end of the connection to the owner.
const connFD = 3

// Init is the life of the jail's PID 1. It does not return.
func Init() {
	// Cgroup, capabilities and the system call filter are a thread's; the process
	// is started from this one.
	runtime.LockOSThread()
	// Nothing that somebody forgot to close goes further: a descriptor of a host
	// directory would be a way out.
	if err := unix.CloseRange(connFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		os.Exit(1)
	}
	conn := os.NewFile(connFD, "owner")
	report := json.NewEncoder(conn)
	dec := json.NewDecoder(conn)
	var o order
	if err := dec.Decode(&o); err != nil {
		os.Exit(1)
	}
	pid, err := o.carryOut()
	if err != nil {
		_ = report.Encode(exitStatus{Error: err.Error()})
		os.Exit(1)
	}
	if err := dropAllCapabilities(); err != nil {
		_ = report.Encode(exitStatus{Error: err.Error()})
		os.Exit(1)
	}
	_ = report.Encode(exitStatus{Started: true})
	go func() {
		// The owner says nothing more: the end of its silence is its end.
		_, _ = io.Copy(io.Discard, conn)
		os.Exit(1)
	}()
	ws := reap(pid)
	_ = report.Encode(exitStatus{Code: max(ws.ExitStatus(), 0), Signal: signalOf(ws)})
	os.Exit(0)
}

func signalOf(ws unix.WaitStatus) int {
	if ws.Signaled() {
		return int(ws.Signal())
	}
	return 0
}

// reap collects orphans until pid has ended.
func reap(pid int) unix.WaitStatus {
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, unix.WALL, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || (got == pid && (ws.Exited() || ws.Signaled())) {
			return ws
		}
	}
}

// carryOut builds the jail around this process and starts the confined one.
func (o *order) carryOut() (pid int, err error) {
	for _, f := range o.CgroupTasks {
		// "0" is this thread, whose move needs no lock that others hold.
		if err := os.WriteFile(f, []byte("0"), 0); err != nil {
			return 0, fmt.Errorf("enter the cgroup: %w", err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("hide the first process: %w", err)
	}
	if err := o.buildRoot(); err != nil {
		return 0, fmt.Errorf("build the root: %w", err)
	}
	if len(o.CPUs) > 0 {
		var set unix.CPUSet
		for _, c := range o.CPUs {
			set.Set(c)
		}
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return 0, fmt.Errorf("place on CPUs %v: %w", o.CPUs, err)
		}
	}
	for _, r := range o.Rlimits {
		if err := lower(r); err != nil {
			return 0, fmt.Errorf("resource limit %d: %w", r.Resource, err)
		}
	}
	if o.FixedAddresses {
		const addrNoRandomize = 0x0040000
		if _, _, e := unix.Syscall(unix.SYS_PERSONALITY, addrNoRandomize, 0, 0); e != 0 {
			return 0, fmt.Errorf("personality: %w", e)
		}
	}
	if o.Copied {
		if o.Substitute, err = inMemory(o.Substitute); err != nil {
			return 0, fmt.Errorf("copy a file into memory: %w", err)
		}
	}
	if err := dropCapabilities(o.Capabilities); err != nil {
		return 0, fmt.Errorf("drop capabilities: %w", err)
	}
	// The filter below takes this to all threads.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("no_new_privs: %w", err)
	}
	if err := o.filter(); err != nil {
		return 0, fmt.Errorf("seccomp: %w", err)
	}
	files := make([]uintptr, len(o.Files))
	for i, fd := range o.Files {
		unix.CloseOnExec(fd) // the process gets them as 0, 1, 2, ... only
		files[i] = uintptr(fd)
	}
	pid, err = syscall.ForkExec(o.Args[0], o.Args, &syscall.ProcAttr{Dir: "/", Env: o.Env, Files: files, Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return 0, fmt.Errorf("execute %s: %w", o.Args[0], err)
	}
	for _, fd := range o.Files {
		unix.Close(fd)
	}
	return pid, nil
}

// filter installs the filter, and has somebody answer what it asks.
func (o *order) filter() error {
	requests := o.Ioctls
	if o.Substitute != 0 {
		requests = append(requests, answering...)
	}
	var ioctls []unix.SockFilter
	if !slices.Contains(o.Syscalls, unix.SYS_IOCTL) {
		ioctls = onlyIoctls(requests, o.IoctlTypes)
	}
	if o.Substitute == 0 {
		_, err := installFilter(filter(o.Syscalls, ioctls...), false)
		return err
	}
	listener, err := installFilter(filter(o.Syscalls, append(ioctls, asking()...)...), true)
	if err == nil {
		go func() {
			// The process finds out: its call fails.
			_ = substitute(listener, o.Substitute)
		}()
	}
	return err
}

func lower(r Rlimit) error {
	var lim unix.Rlimit
	if err := unix.Getrlimit(r.Resource, &lim); err != nil {
		return err
	}
	lim.Max = min(lim.Max, r.Value)
	lim.Cur = lim.Max
	return unix.Setrlimit(r.Resource, &lim)
}

// buildRoot makes a new root of what was let in and moves into it.
func (o *order) buildRoot() error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return err
	}
	if err := unix.Mount("jail", o.Dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=1m"); err != nil {
		return fmt.Errorf("mount a tmpfs at %s: %w", o.Dir, err)
	}
	if err := os.Chdir(o.Dir); err != nil {
		return err
	}
	for _, d := range o.Dirs {
		if err := os.MkdirAll("."+path.Clean(d), 0o755); err != nil {
			return err
		}
	}
	for _, b := range o.Binds {
		if err := b.attach(); err != nil {
			return fmt.Errorf("%s: %w", b.Target, err)
		}
	}
	if o.Tmpfs != "" {
		if err := os.MkdirAll("."+o.Tmpfs, 0o700); err != nil {
			return err
		}
		if err := unix.Mount("memory", "."+o.Tmpfs, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("mode=700,size=%d", o.TmpfsBytes)); err != nil {
			return fmt.Errorf("%s: %w", o.Tmpfs, err)
		}
	}
	if o.Proc != "" {
		if err := mountProc("." + path.Clean(o.Proc)); err != nil {
			return fmt.Errorf("%s: %w", o.Proc, err)
		}
	}
	for name, to := range o.Links {
		if err := os.MkdirAll("."+path.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(to, "."+name); err != nil {
			return err
		}
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach the host's root: %w", err)
	}
	return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "")
}

// mountProc lets the process see itself. PID 1 is the host's executable, and links
// in /proc lead there: hidepid hides it, because nobody inside may trace what is
// not dumpable.
func mountProc(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return unix.Mount("proc", dir, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "hidepid=ptraceable,subset=pid")
}

func (b boundFD) attach() error {
	target := "." + path.Clean(b.Target)
	if b.Dir {
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
	} else {
		if err := os.MkdirAll(path.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, nil, 0o600); err != nil {
			return err
		}
	}
	if err := unix.MoveMount(b.FD, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return err
	}
	return unix.Close(b.FD)
}

// dropCapabilities leaves only keep in the bounding set, which is what an execve
// as root gives.
func dropCapabilities(keep []int) error {
	kept := map[int]bool{}
	for _, c := range keep {
		kept[c] = true
	}
	for c := range 64 {
		if kept[c] {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err == unix.EINVAL {
			return nil // beyond the last one that the kernel knows
		} else if err != nil {
			return err
		}
	}
	return nil
}

// dropAllCapabilities is for PID 1 itself, all threads of it, once the process
// runs: what remains is waiting.
func dropAllCapabilities() error {
	hdr := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := &[2]unix.CapUserData{}
	_, _, e := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(hdr)), uintptr(unsafe.Pointer(data)), 0)
	if e == unix.ENOTSUP { // a binary with cgo, as tests may be: at least this thread
		_, _, e = unix.Syscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(hdr)), uintptr(unsafe.Pointer(data)), 0)
	}
	runtime.KeepAlive(hdr)
	runtime.KeepAlive(data)
	if e != 0 {
		return fmt.Errorf("drop capabilities: %w", e)
	}
	return nil
}
