package container

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// addProcess writes down what a process does between its release and its
// command: session, descriptors, limits, identity, execve. The order is that of
// credentials(7): what needs privilege comes before it is given up.
func (s *script) addProcess(p *api.Process, f *fence, path string, stdio []int) {
	s.add("unshare the descriptors", 0, unix.SYS_UNSHARE, unix.CLONE_FILES)
	s.add("setsid", 0, unix.SYS_SETSID)
	for i, fd := range stdio {
		s.add("dup2", 0, unix.SYS_DUP3, uintptr(fd), uintptr(i), 0)
	}
	if p.Terminal {
		s.add("make the terminal the controlling one", 0, unix.SYS_IOCTL, 0, unix.TIOCSCTTY, 0)
	}
	// Closed now, and not by execve: they are the agent's, and a path could name them.
	s.add("close descriptors", 0, unix.SYS_CLOSE_RANGE, uintptr(len(stdio)), uintptr(^uint32(0)), 0)
	for _, r := range p.Rlimits {
		if f.ids != nil {
			break // the agent sets them
		}
		lim := &unix.Rlimit{Cur: r.Soft, Max: r.Hard}
		s.add("set a resource limit", 0, unix.SYS_SETRLIMIT, uintptr(r.Type), mem(s, lim))
	}
	if p.UmaskSet {
		s.add("umask", 0, unix.SYS_UMASK, uintptr(p.Umask))
	} else {
		s.add("umask", 0, unix.SYS_UMASK, 0o022)
	}
	if LateTimers {
		s.add("timer slack", 0, unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, defaultTimerSlack)
	}
	s.addCwd(p.Cwd, len(stdio))
	s.addAttributes(p, f)
	s.addCredentials(p, f)
	s.add("exec "+path, 0, unix.SYS_EXECVE, s.str(path), s.strs(p.Args), s.strs(p.Env))
}

// addCwd enters the working directory, which no link of /proc may name: what a
// process that is not the container's has open lies outside of the container. lowest is
// the lowest descriptor that is free.
func (s *script) addCwd(cwd string, lowest int) {
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_MAGICLINKS}
	s.add("chdir to "+cwd, 0, unix.SYS_OPENAT2, atFDCWD, s.str(cwd), mem(s, how), unix.SizeofOpenHow)
	s.add("chdir to "+cwd, 0, unix.SYS_FCHDIR, uintptr(lowest))
}

// LateTimers says that this process has made its timers less exact than the kernel's
// are, which the processes of containers are not to inherit.
var LateTimers bool

const defaultTimerSlack = 50000 // ns, the kernel's

const atFDCWD = ^uintptr(99) // -100

const lastCapability = 40 // CAP_CHECKPOINT_RESTORE

// addCredentials ends with the system call filter. Installing one takes CAP_SYS_ADMIN
// or no_new_privs. Without the latter it is installed before the capability is given
// up; all that the filter must allow then is capset, and execve.
func (s *script) addCredentials(p *api.Process, f *fence) {
	c := p.Capabilities
	for i := range lastCapability + 1 {
		if c.Bounding&(1<<i) == 0 {
			s.add("drop a bounding capability", 0, unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(i), 0, 0, 0)
		}
	}
	s.add("keep capabilities", 0, unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0, 0, 0)
	groups := append([]uint32{}, p.Groups...)
	var list uintptr
	if len(groups) > 0 {
		s.keep = append(s.keep, groups)
		list = uintptr(unsafe.Pointer(&groups[0]))
	}
	s.add("setgroups", 0, unix.SYS_SETGROUPS, uintptr(len(groups)), list)
	s.add("setgid", 0, unix.SYS_SETRESGID, uintptr(p.GID), uintptr(p.GID), uintptr(p.GID))
	s.add("setuid", 0, unix.SYS_SETRESUID, uintptr(p.UID), uintptr(p.UID), uintptr(p.UID))
	early := c
	filterFirst := f.filtered() && !p.NoNewPrivileges
	if filterFirst {
		early.Effective |= 1 << unix.CAP_SYS_ADMIN
		early.Permitted |= 1 << unix.CAP_SYS_ADMIN
	}
	s.addCapset(early)
	s.add("stop keeping capabilities", 0, unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 0, 0, 0, 0)
	for i := range lastCapability + 1 {
		if c.Ambient&(1<<i) != 0 {
			// An ambient capability must be permitted and inheritable; runc
			// passes over one that is not.
			s.add("raise an ambient capability", mayFail, unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(i), 0, 0)
		}
	}
	if p.NoNewPrivileges {
		s.add("set no_new_privs", 0, unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	}
	var none unix.Sigset_t
	s.add("unblock signals", 0, unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, mem(s, &none), 0, 8)
	if f.filtered() {
		s.addFilter(&f.seccomp)
	}
	if filterFirst {
		s.addCapset(c)
	}
}

func (s *script) addCapset(c api.Capabilities) {
	s.add("set capabilities", 0, unix.SYS_CAPSET, mem(s, &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}), mem(s, &[2]unix.CapUserData{
		{Effective: uint32(c.Effective), Permitted: uint32(c.Permitted), Inheritable: uint32(c.Inheritable)},
		{Effective: uint32(c.Effective >> 32), Permitted: uint32(c.Permitted >> 32), Inheritable: uint32(c.Inheritable >> 32)},
	}))
}
