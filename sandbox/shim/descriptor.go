package shim

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// Descriptor is one of the host's that a process gets, and what the process does with
// it: api.Reads, api.Writes or both.
type Descriptor struct {
	File   *os.File
	Access uint32
}

// Inherited takes the n descriptors from first on, which the caller has inherited. Bytes
// are all that can be carried into a machine: what is no pipe and no connected stream is
// refused.
func Inherited(first, n int) ([]Descriptor, error) {
	if n > api.MaxDescriptors {
		return nil, fmt.Errorf("%d descriptors are more than %d", n, api.MaxDescriptors)
	}
	var out []Descriptor
	for fd := first; fd < first+n; fd++ {
		access, err := accessTo(fd)
		if err != nil {
			return nil, fmt.Errorf("descriptor %d: %w", fd, err)
		}
		out = append(out, Descriptor{os.NewFile(uintptr(fd), fmt.Sprintf("descriptor %d", fd)), access})
	}
	return out, nil
}

func accessTo(fd int) (uint32, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, err
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return 0, err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return map[int]uint32{unix.O_RDONLY: api.Reads, unix.O_WRONLY: api.Writes, unix.O_RDWR: api.Reads | api.Writes}[flags&unix.O_ACCMODE], nil
	case unix.S_IFSOCK:
		kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
		if err != nil {
			return 0, err
		}
		if _, err := unix.Getpeername(fd); err == nil && kind == unix.SOCK_STREAM {
			return api.Reads | api.Writes, nil
		}
	}
	return 0, errors.New("is neither a pipe nor a connected stream socket: nothing else can be carried into a virtual machine")
}

// Accesses are those of the descriptors, for the sandbox.
func Accesses(ds []Descriptor) []uint32 {
	var out []uint32
	for _, d := range ds {
		out = append(out, d.Access)
	}
	return out
}

// carry connects a descriptor with the process'.
func (s *Shim) carry(fd int, d Descriptor) error {
	c, err := s.stream(fd)
	if err != nil {
		return err
	}
	if d.Access&api.Reads == 0 {
		_ = c.CloseWrite()
	} else {
		go func() {
			_, _ = io.Copy(c.UnixConn, d.File)
			_ = c.CloseWrite()
		}()
	}
	if d.Access&api.Writes == 0 {
		return nil
	}
	s.output.Go(func() {
		_, _ = io.Copy(d.File, c)
		if d.Access == api.Writes || unix.Shutdown(int(d.File.Fd()), unix.SHUT_WR) != nil {
			d.File.Close()
		}
	})
	return nil
}
