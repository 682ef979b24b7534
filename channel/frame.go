package channel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// Version of the wire format; both sides must have the same.
	Version = 1
	// Window is how many bytes of one stream may wait at a receiver.
	Window = 256 << 10
	// MaxStreams bounds the streams a peer may have open at once.
	MaxStreams = 1024

	maxPayload = 32 << 10
	maxName    = 1024
	headerSize = 8
)

type frameType uint8

const (
	frameOpen   frameType = 1 + iota // payload: kind, name
	frameData                        // payload: bytes
	frameCredit                      // payload: uint32, bytes consumed
	frameEOF                         // the sender writes no more
	frameReset                       // the stream is gone, both ways
)

// ErrVersion says that host and agent do not speak the same channel version.
var ErrVersion = errors.New("channel versions differ")

type frame struct {
	id      uint32
	kind    frameType
	payload []byte
}

// GreetingBytes is how long each side's first words are.
const GreetingBytes = 6

var magic = [4]byte{'K', 'A', 'T', 'A'}

func writePreface(w io.Writer, version uint16) error {
	var b [GreetingBytes]byte
	copy(b[:], magic[:])
	binary.BigEndian.PutUint16(b[4:], version)
	_, err := w.Write(b[:])
	return err
}

func readPreface(r io.Reader) error {
	var b [GreetingBytes]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return fmt.Errorf("no greeting from the peer: %w", err)
	}
	if [4]byte(b[:4]) != magic {
		return fmt.Errorf("peer greets with %q, which is not this protocol", b[:])
	}
	if v := binary.BigEndian.Uint16(b[4:]); v != Version {
		return fmt.Errorf("%w: the peer has %d, this side %d", ErrVersion, v, Version)
	}
	return nil
}

// appendFrame encodes f behind b.
func appendFrame(b []byte, f frame) []byte {
	b = binary.BigEndian.AppendUint32(b, f.id)
	b = append(b, byte(f.kind), 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(f.payload)))
	return append(b, f.payload...)
}

// readFrame decodes one frame into buf, which must hold maxPayload bytes; the
// payload aliases buf.
func readFrame(r io.Reader, buf []byte) (frame, error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return frame{}, err
	}
	f := frame{id: binary.BigEndian.Uint32(h[:]), kind: frameType(h[4])}
	n := int(binary.BigEndian.Uint16(h[6:]))
	if n > maxPayload {
		return frame{}, fmt.Errorf("frame of %d bytes exceeds the limit of %d", n, maxPayload)
	}
	f.payload = buf[:n]
	if _, err := io.ReadFull(r, f.payload); err != nil {
		return frame{}, err
	}
	return f, nil
}

// Kind is the purpose of a stream.
type Kind uint8

const (
	// RPC streams carry ttrpc.
	RPC Kind = 1 + iota
	// Stdio streams carry one descriptor of one process.
	Stdio
	// Console streams carry a log or a console.
	Console
	// Names streams carry questions to a name server.
	Names
)

// Header opens a stream: what it is for, and which one of that kind it is.
type Header struct {
	Kind Kind
	Name string
}

func (h Header) encode() ([]byte, error) {
	if len(h.Name) > maxName {
		return nil, fmt.Errorf("stream name of %d bytes exceeds the limit of %d", len(h.Name), maxName)
	}
	return append([]byte{byte(h.Kind)}, h.Name...), nil
}

func decodeHeader(b []byte) (Header, error) {
	if len(b) < 1 || len(b) > maxName+1 {
		return Header{}, fmt.Errorf("stream header of %d bytes", len(b))
	}
	k := Kind(b[0])
	if k < RPC || k > Names {
		return Header{}, fmt.Errorf("unknown stream kind %d", k)
	}
	return Header{Kind: k, Name: string(b[1:])}, nil
}
