package qemu

import (
	"slices"

	"golang.org/x/sys/unix"
)

// syscalls is what QEMU may call on the host; its own filter (-sandbox) takes more
// away once it runs. There is no mount, namespace, key, module, BPF, performance
// counter, ptrace, io_uring or userfaultfd among them, and no new socket.
var syscalls = slices.Concat(ownSyscalls, []uint32{
	// memory
	unix.SYS_BRK, unix.SYS_MMAP, unix.SYS_MPROTECT, unix.SYS_MUNMAP, unix.SYS_MREMAP, unix.SYS_MADVISE,
	unix.SYS_MEMFD_CREATE, unix.SYS_FALLOCATE, unix.SYS_MSYNC, unix.SYS_MEMBARRIER, unix.SYS_GET_MEMPOLICY,
	// threads and signals of its own
	unix.SYS_EXECVE, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_TGKILL, unix.SYS_TKILL,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPENDING, unix.SYS_RT_SIGTIMEDWAIT,
	unix.SYS_SIGALTSTACK, unix.SYS_FUTEX, unix.SYS_SET_ROBUST_LIST, unix.SYS_SET_TID_ADDRESS,
	unix.SYS_RSEQ, unix.SYS_PRCTL, unix.SYS_SECCOMP,
	unix.SYS_GETPID, unix.SYS_GETPPID, unix.SYS_GETTID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID,
	unix.SYS_PRLIMIT64, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_GETCPU, unix.SYS_GETRUSAGE,
	// time
	unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_NANOSLEEP, unix.SYS_GETTIMEOFDAY,
	unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_GETTIME, unix.SYS_TIMER_DELETE,
	// descriptors and waiting
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_PREADV, unix.SYS_PWRITEV,
	unix.SYS_CLOSE, unix.SYS_LSEEK, unix.SYS_DUP, unix.SYS_DUP3, unix.SYS_FCNTL, unix.SYS_PIPE2,
	unix.SYS_EVENTFD2, unix.SYS_SIGNALFD4, unix.SYS_PPOLL, unix.SYS_PSELECT6,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT,
	// files of the shares (virtio-9p)
	unix.SYS_OPENAT, unix.SYS_FSTAT, unix.SYS_NEWFSTATAT, unix.SYS_STATX,
	unix.SYS_STATFS, unix.SYS_FSTATFS, unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_GETDENTS64, unix.SYS_GETCWD,
	unix.SYS_READLINKAT, unix.SYS_UMASK, unix.SYS_FLOCK,
	unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_TRUNCATE, unix.SYS_FTRUNCATE,
	unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_UTIMENSAT,
	unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_UNLINKAT, unix.SYS_MKDIRAT, unix.SYS_MKNODAT,
	unix.SYS_GETXATTR, unix.SYS_LGETXATTR, unix.SYS_FGETXATTR, unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR,
	unix.SYS_LISTXATTR, unix.SYS_LLISTXATTR, unix.SYS_FLISTXATTR, unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_FREMOVEXATTR,
	// what it inherits: the channel and the network devices
	unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_SHUTDOWN,
	unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME, unix.SYS_GETSOCKOPT, unix.SYS_SETSOCKOPT,
	// facts of the host that do not identify it
	unix.SYS_UNAME, unix.SYS_SYSINFO, unix.SYS_GETRANDOM,
})

// daemonSyscalls come on top with a daemon for the shares, which asks over a connection
// that QEMU makes for it.
var daemonSyscalls = []uint32{unix.SYS_SOCKETPAIR}

// ioctls are the requests that QEMU may make: of a terminal, which it asks every
// descriptor whether it is; of a file of the share, its generation; of a disk; of a tap
// device, what its frames look like and which of its queues are used. A disk has others
// that lead beyond it: those of a loop device could give it another file. So has a tap
// device: its name, its namespace, programs that choose among its queues.
var ioctls = []uint32{
	unix.TCGETS, unix.TCSETS,
	0x5421,     // FIONBIO
	0x80087601, // FS_IOC_GETVERSION
	unix.BLKROGET, unix.BLKSECTGET, unix.BLKSSZGET, unix.BLKPBSZGET, unix.BLKGETSIZE64, unix.BLKDISCARD, unix.BLKZEROOUT,
	unix.TUNGETIFF, unix.TUNGETFEATURES, unix.TUNSETOFFLOAD, unix.TUNSETSNDBUF, unix.TUNSETQUEUE,
	unix.TUNGETVNETHDRSZ, unix.TUNSETVNETHDRSZ, unix.TUNSETVNETLE, unix.TUNSETVNETBE,
}

// ioctlTypes are KVM's (KVMIO of linux/kvm.h).
var ioctlTypes = []byte{0xae}

// vhostIoctls are those of vhost (VHOST_VIRTIO of linux/vhost.h).
const vhostIoctls = 0xaf
