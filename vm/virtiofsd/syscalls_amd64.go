package virtiofsd

import "golang.org/x/sys/unix"

// ownSyscalls exist on this architecture only: they are older than those that took
// their place, and the C library still uses them.
var ownSyscalls = []uint32{
	unix.SYS_ARCH_PRCTL, unix.SYS_POLL, unix.SYS_EPOLL_WAIT,
	unix.SYS_OPEN, unix.SYS_STAT, unix.SYS_LSTAT, unix.SYS_ACCESS, unix.SYS_READLINK,
}
