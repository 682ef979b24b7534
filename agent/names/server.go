package names

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

const dnsPort = 53

// Server is a name server's place in the guest.
type Server struct {
	udp, tcp *os.File
	undo     func()

	stream  io.ReadWriteCloser
	writeMu sync.Mutex // held while a question is written

	mu      sync.Mutex
	pending map[uint32]func(answer []byte)
	next    uint32
	done    chan struct{}
}

// Listen takes the place of the name server of an IPv4 address. Errors: api.Error for
// an address that is not on the loopback network.
func Listen(address []byte) (_ *Server, err error) {
	if len(address) != 4 || address[0] != 127 {
		return nil, &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("address %x is none of the loopback network", address)}
	}
	s := newServer()
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	addr := &unix.SockaddrInet4{Addr: [4]byte(address)}
	if err = s.listen(addr); err != nil {
		return nil, err
	}
	s.undo, err = redirect(addr.Addr, uint16(addr.Port))
	return s, err
}

func newServer() *Server {
	return &Server{pending: map[uint32]func([]byte){}, done: make(chan struct{}), undo: func() {}}
}

// listen takes a free port of the address, for datagrams and for connections.
func (s *Server) listen(addr *unix.SockaddrInet4) (err error) {
	if s.udp, err = socket(unix.SOCK_DGRAM, addr); err != nil {
		return err
	}
	s.tcp, err = socket(unix.SOCK_STREAM, addr)
	return err
}

// socket makes a socket at an address, and fills a missing port in; one for
// connections listens.
func socket(kind int, addr *unix.SockaddrInet4) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	err = unix.Bind(fd, addr)
	if err == nil && kind == unix.SOCK_STREAM {
		err = unix.Listen(fd, maxConnections)
	}
	var name unix.Sockaddr
	if err == nil {
		name, err = unix.Getsockname(fd)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("socket at %v: %w", addr, err)
	}
	addr.Port = name.(*unix.SockaddrInet4).Port
	return os.NewFile(uintptr(fd), "name server"), nil
}

// Serve passes questions and answers until the stream ends.
func (s *Server) Serve(stream io.ReadWriteCloser) {
	s.stream = stream
	defer s.close()
	go s.datagrams()
	go s.connections()
	buf := make([]byte, api.MaxAnswer)
	for {
		a, err := api.ReadQuestion(stream, buf)
		if err != nil {
			return
		}
		s.mu.Lock()
		answer := s.pending[a.ID]
		delete(s.pending, a.ID)
		s.mu.Unlock()
		if answer != nil {
			answer(a.Message)
		}
	}
}

func (s *Server) close() {
	close(s.done)
	s.undo()
	for _, f := range []*os.File{s.udp, s.tcp} {
		if f != nil {
			f.Close()
		}
	}
	if s.stream != nil {
		s.stream.Close()
	}
}

// ask passes a question to the host. answer is called with what comes back, empty for
// nothing; it must not block, and its argument is not its own. The result is false
// when there are too many questions: a datagram is dropped then, as a busy name
// server does.
func (s *Server) ask(tcp bool, message []byte, answer func([]byte)) bool {
	s.mu.Lock()
	if len(s.pending) >= api.MaxQuestions {
		s.mu.Unlock()
		return false
	}
	s.next++
	q := api.Question{ID: s.next, TCP: tcp, Message: message}
	s.pending[q.ID] = answer
	s.mu.Unlock()
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	_, err := s.stream.Write(q.Append(nil))
	return err == nil
}

// datagrams reads questions that come by UDP.
func (s *Server) datagrams() {
	conn, err := s.udp.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, api.MaxQuestion+1)
	for {
		var n int
		var from unix.Sockaddr
		var failed error
		err := conn.Read(func(fd uintptr) bool {
			n, from, failed = unix.Recvfrom(int(fd), buf, 0)
			return !errors.Is(failed, unix.EAGAIN)
		})
		if err != nil {
			return // closed
		}
		if failed != nil || n < api.MinMessage || n > api.MaxQuestion {
			continue
		}
		s.ask(false, buf[:n], func(answer []byte) {
			if len(answer) > 0 {
				// Who does not take it asks again. The socket does not block.
				_ = conn.Control(func(fd uintptr) { _ = unix.Sendto(int(fd), answer, 0, from) })
			}
		})
	}
}
