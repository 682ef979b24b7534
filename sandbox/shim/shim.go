package shim

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"kata/sandbox/proxy"
	"kata/sandbox/state"
)

// Options say which process, and where its I/O goes.
type Options struct {
	Dir      state.Dir
	Exec     string // empty for the container's first process
	Terminal bool
	// Console is the terminal of the process, if it has one: what is read from it
	// goes in, and what comes out is written to it.
	Console *os.File
	Stdin   *os.File
	Stdout  *os.File
	Stderr  *os.File
	// More are the descriptors that the process gets as 3 and up.
	More []Descriptor
}

// Shim is attached to a process.
type Shim struct {
	o      Options
	wait   *proxy.Conn
	output sync.WaitGroup
}

// killed is the status of a process whose sandbox went away: 128 plus SIGKILL.
const killed = 137

// Attach connects to the process. Nothing is lost if it has started already: its
// output waits.
func Attach(o Options) (*Shim, error) {
	s := &Shim{o: o}
	var err error
	if s.wait, err = proxy.Dial(o.Dir); err != nil {
		return nil, err
	}
	for i, d := range o.More {
		if err := s.carry(3+i, d); err != nil {
			return nil, err
		}
	}
	if o.Terminal {
		in, err := s.stream(0)
		if err != nil {
			return nil, err
		}
		out, err := s.stream(1)
		if err != nil {
			return nil, err
		}
		s.copyOut(o.Console, out)
		go func() { _, _ = io.Copy(in.UnixConn, o.Console) }() // ends with this process
		return s, nil
	}
	in, err := s.stream(0)
	if err != nil {
		return nil, err
	}
	go func() {
		_, _ = io.Copy(in.UnixConn, o.Stdin) // an unreadable input is an empty one
		_ = in.CloseWrite()
	}()
	for fd, f := range map[int]*os.File{1: o.Stdout, 2: o.Stderr} {
		c, err := s.stream(fd)
		if err != nil {
			return nil, err
		}
		s.copyOut(f, c)
	}
	return s, nil
}

func (s *Shim) stream(fd int) (*proxy.Conn, error) {
	c, err := proxy.Dial(s.o.Dir)
	if err != nil {
		return nil, err
	}
	if _, err := c.Call(&proxy.Request{Op: proxy.Stdio, Exec: s.o.Exec, FD: fd}); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (s *Shim) copyOut(f *os.File, c *proxy.Conn) {
	s.output.Go(func() {
		_, _ = io.Copy(f, c) // a reader that went away is the process' SIGPIPE, not ours
		c.Close()
	})
}

// Wait blocks until the process has ended and its output is written. An error
// means that the sandbox was lost; the status is then that of a killed process.
func (s *Shim) Wait() (status int, err error) {
	resp, err := s.wait.Call(&proxy.Request{Op: proxy.Wait, Exec: s.o.Exec})
	s.output.Wait() // every stream ends: with the process, or with the sandbox
	switch {
	case errors.Is(err, state.ErrGone):
		return killed, fmt.Errorf("the sandbox was lost: %w", err)
	case err != nil:
		return killed, err
	case resp.Exit.Reason != "":
		return resp.Exit.Status, errors.New(resp.Exit.Reason)
	}
	return resp.Exit.Status, nil
}
