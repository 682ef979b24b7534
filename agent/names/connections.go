package names

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// maxConnections bounds the connections at a time; more wait to be accepted.
const maxConnections = 32

// connectionTime is how long a connection may take to ask, or to take an answer.
const connectionTime = 20 * time.Second

// connections accepts those who ask by TCP.
func (s *Server) connections() {
	conn, err := s.tcp.SyscallConn()
	if err != nil {
		return
	}
	places := make(chan struct{}, maxConnections)
	for {
		places <- struct{}{}
		var client int
		var failed error
		err := conn.Read(func(fd uintptr) bool {
			client, _, failed = unix.Accept4(int(fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			return !errors.Is(failed, unix.EAGAIN)
		})
		if err != nil {
			return // closed
		}
		if failed != nil {
			<-places
			continue
		}
		go func() {
			f := os.NewFile(uintptr(client), "client")
			s.connection(f)
			f.Close()
			<-places
		}()
	}
}

// connection answers one question after the other.
func (s *Server) connection(f *os.File) {
	buf := make([]byte, api.MaxQuestion)
	answers := make(chan []byte, 1)
	for {
		_ = f.SetDeadline(time.Now().Add(connectionTime)) // sockets have deadlines
		q, err := readMessage(f, buf)
		if err != nil || !s.ask(true, q, func(a []byte) { answers <- bytes.Clone(a) }) {
			return
		}
		var a []byte
		select {
		case a = <-answers:
		case <-s.done:
			return
		}
		if len(a) == 0 {
			return
		}
		_ = f.SetDeadline(time.Now().Add(connectionTime))
		if _, err := f.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)); err != nil {
			return
		}
	}
}

var errLength = errors.New("a message too short or too long")

// readMessage reads a message behind its length (RFC 1035, 4.2.2).
func readMessage(r io.Reader, buf []byte) ([]byte, error) {
	if _, err := io.ReadFull(r, buf[:2]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(buf))
	if n < api.MinMessage || n > len(buf) {
		return nil, errLength
	}
	_, err := io.ReadFull(r, buf[:n])
	return buf[:n], err
}
