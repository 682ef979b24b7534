package jail

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// CanSubstitute says whether this host has what Config.Substitute takes.
func CanSubstitute() bool {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return false
	}
	return atLeast(unix.ByteSliceToString(u.Release[:]), 5, 14)
}

// atLeast compares a kernel's release with a version.
func atLeast(release string, major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(release, "%d.%d", &a, &b); n != 2 {
		return false
	}
	return a > major || a == major && b >= minor
}

// dataArg2 is the offset of the third argument in struct seccomp_data.
const dataArg2 = 32

// asking is the part of the filter that has PID 1 answer an openat(2) with O_RDWR and
// no other flag. What the process could not do is decided by PID 1 then, and the
// name, which is in the process' memory, plays no part.
func asking() []unix.SockFilter {
	return []unix.SockFilter{
		jump(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, unix.SYS_OPENAT, 0, 4),
		stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, dataArg2),
		jump(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, unix.O_RDWR, 0, 1),
		stmt(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_USER_NOTIF),
		stmt(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_ALLOW),
	}
}

// answering are the requests that PID 1 makes to answer.
var answering = []uint32{unix.SECCOMP_IOCTL_NOTIF_RECV, unix.SECCOMP_IOCTL_NOTIF_ADDFD}

// notification and addition are struct seccomp_notif and seccomp_notif_addfd of
// linux/seccomp.h.
type notification struct {
	id         uint64
	pid, flags uint32
	_          [64]byte // struct seccomp_data
}

type addition struct {
	id                            uint64
	flags, from, number, numFlags uint32
}

// substitute answers the first request on listener with fd, and closes both: later
// requests get ENOSYS.
func substitute(listener, fd int) error {
	defer unix.Close(listener)
	defer unix.Close(fd)
	for {
		var n notification
		if err := control(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil {
			return fmt.Errorf("wait for the file to be opened: %w", err)
		}
		a := addition{id: n.id, flags: unix.SECCOMP_ADDFD_FLAG_SEND, from: uint32(fd)}
		err := control(listener, unix.SECCOMP_IOCTL_NOTIF_ADDFD, unsafe.Pointer(&a))
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINTR) { // interrupted by a signal: it asks again
			continue
		}
		return err
	}
}

func control(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); e != 0 {
		return e
	}
	return nil
}
