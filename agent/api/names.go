package api

import (
	"encoding/binary"
	"fmt"
	"io"
)

// NameserverRequest makes the guest ask the host for what its processes ask a name
// server.
type NameserverRequest struct {
	// Address of the name server, 4 bytes, on the loopback network. The stream
	// NameserverStream(Address) carries the questions, see Question.
	Address []byte `pb:"160"`
}

// NameserverStream is the name of the channel stream for a name server.
func NameserverStream(address []byte) string { return fmt.Sprintf("%x", address) }

// Question is a DNS message for a name server, or its answer with the same ID. Each
// question gets one answer; an empty one says that there is none. A question has at
// most MaxQuestion bytes, an answer at most MaxAnswer, and at most MaxQuestions wait for
// their answer.
//
// On the stream it is, big-endian: the ID (4 bytes), the length of the message (2),
// 1 for TCP (1), 0 (1), the message.
type Question struct {
	ID      uint32
	TCP     bool // the message came by TCP, or is to go by it
	Message []byte
}

// MaxQuestions may be without an answer.
const MaxQuestions = 64

// The sizes of messages, in bytes; MinMessage is a header alone (RFC 1035, 4.1.1).
const (
	MinMessage  = 12
	MaxQuestion = 4096
	MaxAnswer   = 1<<16 - 1
)

const questionHeader = 8

// Append encodes the question behind b.
func (q *Question) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, q.ID)
	b = binary.BigEndian.AppendUint16(b, uint16(len(q.Message)))
	tcp := byte(0)
	if q.TCP {
		tcp = 1
	}
	return append(append(b, tcp, 0), q.Message...)
}

// ReadQuestion reads a question into buf, whose size is the limit; the message
// aliases it.
func ReadQuestion(r io.Reader, buf []byte) (Question, error) {
	var h [questionHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return Question{}, err
	}
	q := Question{ID: binary.BigEndian.Uint32(h[:]), TCP: h[6] == 1}
	n := int(binary.BigEndian.Uint16(h[4:]))
	if n > len(buf) || h[6] > 1 || h[7] != 0 {
		return Question{}, fmt.Errorf("a question with the header %x: too long, or none", h)
	}
	q.Message = buf[:n]
	_, err := io.ReadFull(r, q.Message)
	return q, err
}
