// Package names asks name servers for a machine. What listens on the loopback network of
// a network namespace, as Docker's name server does, is out of reach of a guest, which
// has a loopback interface of its own: the guest's agent passes the questions on.
//
// The guest is hostile: it chooses what is asked, within bounds of size, number and
// time, but not whom. The package does not understand answers, does not keep them, and
// does not decide which servers may be asked.
package names

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"kata/agent/api"
)

// Port is where name servers listen.
const Port = 53

// answerTime bounds one question: whoever asked has asked again, or given up.
const answerTime = 10 * time.Second

// maxServers is how many name servers of a file a resolver asks (MAXNS of resolv.h).
const maxServers = 3

// maxFile bounds what is read of a resolv.conf.
const maxFile = 64 << 10

// Loopback lists the name servers that a resolv.conf(5) names by IPv4 addresses of the
// loopback network.
func Loopback(r io.Reader) []netip.Addr {
	var list []netip.Addr
	servers := 0
	for sc := bufio.NewScanner(io.LimitReader(r, maxFile)); servers < maxServers && sc.Scan(); {
		f := strings.Fields(sc.Text())
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		servers++
		if a, err := netip.ParseAddr(f[1]); err == nil && a.Is4() && a.IsLoopback() && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// Dial connects to the name server by "udp" or "tcp", within a time.
type Dial func(network string, timeout time.Duration) (net.Conn, error)

// Serve answers the questions on a stream of the channel until it ends, or the guest
// sends what is no question.
func Serve(stream io.ReadWriteCloser, dial Dial) {
	defer stream.Close()
	var mu sync.Mutex // held while an answer is written
	busy := make(chan struct{}, api.MaxQuestions)
	buf := make([]byte, api.MaxQuestion)
	for {
		busy <- struct{}{} // nothing more is read from a guest that asks too much
		q, err := api.ReadQuestion(stream, buf)
		if err != nil {
			return
		}
		q.Message = bytes.Clone(q.Message)
		go func() {
			q.Message = answer(dial, &q)
			mu.Lock()
			_, _ = stream.Write(q.Append(nil)) // a failure is the stream's end
			mu.Unlock()
			<-busy
		}()
	}
}

// answer asks the server. A question that it cannot be asked fails.
func answer(dial Dial, q *api.Question) []byte {
	if len(q.Message) < api.MinMessage {
		return nil
	}
	network := "udp"
	if q.TCP {
		network = "tcp"
	}
	c, err := dial(network, answerTime)
	if err != nil {
		return failure(q.Message)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return failure(q.Message)
	}
	ask := askDatagram
	if q.TCP {
		ask = askConnection
	}
	a, err := ask(c, q.Message)
	if err != nil {
		return failure(q.Message)
	}
	return a
}

// failure is the answer SERVFAIL to a question (RFC 1035, 4.1.1).
func failure(question []byte) []byte {
	const response, available, serverFailure = 0x80, 0x80, 2
	a := bytes.Clone(question)
	a[2] |= response
	a[3] = available | serverFailure
	return a
}

func askDatagram(c net.Conn, question []byte) ([]byte, error) {
	if _, err := c.Write(question); err != nil {
		return nil, err
	}
	buf := make([]byte, api.MaxAnswer)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return nil, err
		}
		if n >= api.MinMessage && bytes.Equal(buf[:2], question[:2]) { // the answer has the question's id
			return buf[:n], nil
		}
	}
}

func askConnection(c net.Conn, question []byte) ([]byte, error) {
	m := binary.BigEndian.AppendUint16(nil, uint16(len(question)))
	if _, err := c.Write(append(m, question...)); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return nil, err
	}
	a := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, a); err != nil {
		return nil, err
	}
	return a, nil
}
