package jail

import (
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// auditArch is AUDIT_ARCH_* of what the host runs: a filter by numbers must not
// let another architecture's numbers through.
var auditArch = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]

const (
	dataNR   = 0 // offsets in struct seccomp_data
	dataArch = 4
	dataArg0 = 16
	dataArg1 = 24

	x32Bit = 0x40000000

	newNamespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
		unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
)

func stmt(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }

func jump(code uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: code, Jt: yes, Jf: no, K: k}
}

// ownSyscalls is what PID 1 needs, which lives under the same filter: to start the
// process, to drop its own capabilities, to wait, and to be a Go program.
var ownSyscalls = []uint32{
	unix.SYS_EXECVE, unix.SYS_CAPSET, unix.SYS_WAIT4, unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE, unix.SYS_DUP3, unix.SYS_FCNTL,
	unix.SYS_SETSID, unix.SYS_CHDIR, unix.SYS_PRLIMIT64, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
	unix.SYS_FUTEX, unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MADVISE, unix.SYS_NANOSLEEP, unix.SYS_SCHED_YIELD,
	unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_CTL, unix.SYS_SIGALTSTACK, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN,
	unix.SYS_RT_SIGACTION, unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_TGKILL, unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY,
}

// filter makes a BPF program that allows the listed system calls. clone is
// allowed without new namespaces only; clone3, whose flags a filter cannot see,
// gets ENOSYS so that the C library uses clone; unshare, if it is listed, is allowed with
// CLONE_FS only; all others get EPERM. A foreign
// architecture is killed. more comes before the list, with the number loaded.
func filter(allowed []uint32, more ...unix.SockFilter) []unix.SockFilter {
	const (
		ld  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		jeq = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		jge = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		set = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		ret = unix.BPF_RET | unix.BPF_K
	)
	deny := stmt(ret, unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM))
	allow := stmt(ret, unix.SECCOMP_RET_ALLOW)
	f := []unix.SockFilter{
		stmt(ld, dataArch),
		jump(jeq, auditArch, 1, 0),
		stmt(ret, unix.SECCOMP_RET_KILL_PROCESS),
		stmt(ld, dataNR),
		jump(jge, x32Bit, 0, 1),
		stmt(ret, unix.SECCOMP_RET_KILL_PROCESS),
		jump(jeq, unix.SYS_CLONE3, 0, 1),
		stmt(ret, unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS)),
		jump(jeq, unix.SYS_CLONE, 0, 4),
		stmt(ld, dataArg0),
		jump(set, newNamespaces, 0, 1),
		deny,
		allow,
	}
	f = append(f, more...)
	list := slices.Concat(allowed, ownSyscalls)
	slices.Sort(list)
	for _, nr := range slices.Compact(list) {
		if nr == unix.SYS_UNSHARE {
			f = append(f, jump(jeq, nr, 0, 4), stmt(ld, dataArg0), jump(jeq, unix.CLONE_FS, 0, 1), allow, deny)
			continue
		}
		f = append(f, jump(jeq, nr, 0, 1), allow)
	}
	return append(f, deny)
}

// onlyIoctls lets the requests through and all those of the types (_IOC_TYPE of
// linux/ioctl.h). Others get ENOTTY, as from a file that does not know them. The
// kernel takes 32 bits of the request.
func onlyIoctls(requests []uint32, types []byte) []unix.SockFilter {
	const (
		ld  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		jeq = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		and = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
		ret = unix.BPF_RET | unix.BPF_K
	)
	allow := stmt(ret, unix.SECCOMP_RET_ALLOW)
	f := []unix.SockFilter{stmt(ld, dataArg1)}
	for _, r := range requests {
		f = append(f, jump(jeq, r, 0, 1), allow)
	}
	f = append(f, stmt(and, 0xff00))
	for _, t := range types {
		f = append(f, jump(jeq, uint32(t)<<8, 0, 1), allow)
	}
	f = append(f, stmt(ret, unix.SECCOMP_RET_ERRNO|uint32(unix.ENOTTY)))
	return append([]unix.SockFilter{jump(jeq, unix.SYS_IOCTL, 0, uint8(len(f)))}, f...)
}

// installFilter applies the program to all threads of the process and what they
// start. With listen it returns a descriptor for the calls that the program wants
// answered.
func installFilter(f []unix.SockFilter, listen bool) (listener int, err error) {
	prog := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	flags := uintptr(unix.SECCOMP_FILTER_FLAG_TSYNC)
	if listen {
		flags |= unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	r, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(f)
	if e != 0 {
		return -1, e
	}
	return int(r), nil
}
