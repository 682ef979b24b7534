// Package nameserver is a name server for tests, by UDP and TCP.
//
// It knows a handful of names, answers nothing but questions for IPv4 addresses, and
// does not ask others.
package nameserver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync/atomic"
)

// Names that the server knows: those in the map, Large, which has so many addresses
// that only TCP carries them, and Silent, which gets no answer.
const (
	Large  = "large.test"
	Silent = "silent.test"
	// LargeCount is how many addresses Large has.
	LargeCount = 3000
)

// Server is a name server.
type Server struct {
	// Asked counts the questions.
	Asked atomic.Int64

	known map[string][4]byte
	udp   net.PacketConn
	tcp   net.Listener
}

// Start listens at an address, in the network namespace of the thread.
func Start(address string, known map[string][4]byte) (*Server, error) {
	udp, err := net.ListenPacket("udp4", address)
	if err != nil {
		return nil, err
	}
	tcp, err := net.Listen("tcp4", address)
	if err != nil {
		udp.Close()
		return nil, err
	}
	s := &Server{known: known, udp: udp, tcp: tcp}
	go s.datagrams()
	go s.connections()
	return s, nil
}

// Close ends the server.
func (s *Server) Close() error { return errors.Join(s.udp.Close(), s.tcp.Close()) }

func (s *Server) datagrams() {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := s.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		if a := s.answer(buf[:n], false); a != nil {
			_, _ = s.udp.WriteTo(a, from) // whoever does not get it asks again
		}
	}
}

func (s *Server) connections() {
	for {
		c, err := s.tcp.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			var length [2]byte
			for {
				if _, err := io.ReadFull(c, length[:]); err != nil {
					return
				}
				q := make([]byte, binary.BigEndian.Uint16(length[:]))
				if _, err := io.ReadFull(c, q); err != nil {
					return
				}
				a := s.answer(q, true)
				if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)); err != nil {
					return
				}
			}
		}()
	}
}

// Codes of RFC 1035.
const (
	headerBytes = 12
	typeA       = 1
	formatError = 1
	noSuchName  = 3
	response    = 0x84 // and authoritative
	truncated   = 0x02
)

// Question makes a question for an IPv4 address.
func Question(id uint16, name string) []byte {
	q := binary.BigEndian.AppendUint16(nil, id)
	q = append(q, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	for label := range bytes.SplitSeq([]byte(name), []byte(".")) {
		q = append(append(q, byte(len(label))), label...)
	}
	return append(q, 0, 0, typeA, 0, 1)
}

func (s *Server) answer(q []byte, tcp bool) []byte {
	s.Asked.Add(1)
	if len(q) < headerBytes {
		return nil
	}
	name, end := parse(q)
	if end < 0 {
		return header(q[:headerBytes], formatError, 0)
	}
	a := header(q[:end], 0, 0)
	address, ok := s.known[name]
	count := 1
	switch {
	case name == Silent:
		return nil
	case name == Large && !tcp:
		a[2] |= truncated
		return a
	case name == Large:
		count = LargeCount
	case !ok:
		return header(q[:end], noSuchName, 0)
	case q[end-3] != typeA:
		return a
	}
	binary.BigEndian.PutUint16(a[6:], uint16(count))
	for i := range count {
		if name == Large {
			address = [4]byte{10, 0, byte(i >> 8), byte(i)}
		}
		a = append(a, 0xc0, headerBytes, 0, typeA, 0, 1, 0, 0, 0, 1, 0, 4) // the name, A, IN, 1 s, 4 bytes
		a = append(a, address[:]...)
	}
	return a
}

// header turns a question into an answer without addresses.
func header(q []byte, code byte, answers uint16) []byte {
	a := bytes.Clone(q)
	a[2], a[3] = response|a[2]&1, code
	binary.BigEndian.PutUint16(a[6:], answers)
	clear(a[8:headerBytes])
	if len(q) == headerBytes {
		clear(a[4:6])
	}
	return a
}

// parse returns the name that is asked for and where the question ends, -1 if it makes
// no sense.
func parse(q []byte) (string, int) {
	var labels [][]byte
	at := headerBytes
	for at < len(q) && q[at] != 0 {
		next := at + 1 + int(q[at])
		if next > len(q) {
			return "", -1
		}
		labels = append(labels, q[at+1:next])
		at = next
	}
	if at+5 > len(q) {
		return "", -1
	}
	return string(bytes.ToLower(bytes.Join(labels, []byte(".")))), at + 5
}
