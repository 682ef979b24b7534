package agent

import (
	"context"

	"golang.org/x/sys/unix"

	"kata/agent/api"
	"kata/agent/container"
	"kata/channel"
)

// end is one of a connection of this process with itself. Who reads from it is woken when
// it is closed.
type end struct{ device }

func (e end) Close() error {
	_ = unix.Shutdown(e.fd, unix.SHUT_RDWR) // the other end may have done it
	return e.device.Close()
}

// rehearse answers the host's first question to this process itself, and does what takes
// long for a first container. The threads that this takes, what the kernel keeps, and the
// memory that is touched for the first time are then part of the saved machine, and not
// of each start.
func (a *agent) rehearse() error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	go func() {
		s, err := channel.New(end{device{fds[0]}}, channel.Agent)
		if err != nil {
			return // the other side says it
		}
		defer s.Close()
		if st, err := s.Accept(); err == nil {
			_ = api.Serve(st, a.methods) // ends with the session
		}
	}()
	s, err := channel.New(end{device{fds[1]}}, channel.Host)
	if err != nil {
		return err
	}
	defer s.Close()
	st, err := s.Open(channel.Header{Kind: channel.RPC, Name: "rehearsal"})
	if err != nil {
		return err
	}
	host := api.Agent{Conn: api.NewConn(st)}
	if _, err := host.Hello(context.Background(), &api.HelloRequest{Version: api.Version}); err != nil {
		return err
	}
	return container.Rehearse()
}
