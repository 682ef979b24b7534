package proxy

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// entrance is what a proxy has to do with for a container before that exists.
type entrance struct {
	root, id string
	control  *os.File // the connection with who creates it
	listener *os.File // the container's socket
	network  *os.File // the network namespace to take over, nil for none
}

// maxEntrance is how many descriptors an entrance has at most.
const maxEntrance = 3

// newEntrance is one of descriptors in that order.
func newEntrance(fds []int) (*entrance, error) {
	e := &entrance{}
	for i, to := range []**os.File{&e.control, &e.listener, &e.network} {
		if i < len(fds) {
			*to = os.NewFile(uintptr(fds[i]), [...]string{"control", "listener", "of the container"}[i])
		}
	}
	if e.control == nil || e.listener == nil {
		e.close()
		return nil, fmt.Errorf("%d descriptors are too few", len(fds))
	}
	return e, nil
}

func (e *entrance) files() (list []*os.File) {
	for _, f := range []*os.File{e.control, e.listener, e.network} {
		if f != nil {
			list = append(list, f)
		}
	}
	return list
}

func (e *entrance) close() {
	for _, f := range e.files() {
		f.Close()
	}
}

// conn is the connection with who creates the container.
func (e *entrance) conn() (*Conn, error) {
	c, err := net.FileConn(e.control)
	if err != nil {
		return nil, err
	}
	return NewConn(c.(*net.UnixConn)), nil
}

// namespace is a descriptor of the network namespace for somebody who closes it.
func (e *entrance) namespace() (*os.File, error) {
	fd, err := unix.FcntlInt(e.network.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	return os.NewFile(uintptr(fd), e.network.Name()), nil
}
