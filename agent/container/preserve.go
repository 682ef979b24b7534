package container

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// openDescriptors gives a process more descriptors than standard I/O has, 3 and up:
// pipes and connected sockets whose other ends the host holds.
func (s *stdio) openDescriptors(p *api.Process, streams Streams) error {
	above := len(s.child) + len(p.Descriptors) // where putting one in its place closes no other
	for i, access := range p.Descriptors {
		fd := 3 + i
		st, err := streams(fd)
		if err != nil {
			return err
		}
		s.streams = append(s.streams, st)
		theirs, mine, err := descriptor(access)
		if err != nil {
			return fmt.Errorf("descriptor %d: %w", fd, err)
		}
		moved, err := unix.FcntlInt(uintptr(theirs), unix.F_DUPFD_CLOEXEC, above)
		unix.Close(theirs)
		if err != nil {
			unix.Close(mine)
			return err
		}
		s.child = append(s.child, moved)
		if err := unix.Fchown(moved, int(p.UID), int(p.GID)); err != nil {
			unix.Close(mine)
			return err
		}
		_ = unix.SetNonblock(mine, true)
		f := os.NewFile(uintptr(mine), "descriptor")
		s.ours = append(s.ours, f)
		if access&api.Writes != 0 {
			s.carry(st, f)
		}
		if access&api.Reads != 0 {
			go func() { copyIn(f, st); noMore(f, access) }()
		}
	}
	return nil
}

// descriptor makes what a process reads, writes, or both, and the agent's end of it.
func descriptor(access uint32) (theirs, mine int, err error) {
	var ends [2]int
	switch access {
	case api.Reads:
		err = unix.Pipe2(ends[:], unix.O_CLOEXEC)
	case api.Writes:
		err = unix.Pipe2(ends[:], unix.O_CLOEXEC)
		ends[0], ends[1] = ends[1], ends[0]
	case api.Reads | api.Writes:
		ends, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	default:
		err = &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("access %d", access)}
	}
	return ends[0], ends[1], err
}

// noMore tells the process that it has read everything.
func noMore(f *os.File, access uint32) {
	if access == api.Reads {
		f.Close()
		return
	}
	if rc, err := f.SyscallConn(); err == nil {
		_ = rc.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
	}
}
