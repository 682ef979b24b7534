package names

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// question is a message that only its id tells from others.
func question(id uint16) []byte {
	return append(binary.BigEndian.AppendUint16(nil, id), make([]byte, 20)...)
}

// relay starts a server without the programs that lead to it, on the host's loopback
// interface; the test is the host at the other end of the stream.
func relay(t *testing.T) (address string, host net.Conn) {
	t.Helper()
	s := newServer()
	addr := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 11}}
	if err := s.listen(addr); err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	go s.Serve(far)
	t.Cleanup(func() {
		near.Close()
		<-s.done
	})
	if err := near.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.11", strconv.Itoa(addr.Port)), near
}

func dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

// echo answers each question with itself and more bytes behind.
func echo(host net.Conn, more int) {
	buf := make([]byte, api.MaxQuestion)
	for {
		q, err := api.ReadQuestion(host, buf)
		if err != nil {
			return
		}
		q.Message = append(bytes.Clone(q.Message), make([]byte, more)...)
		if _, err := host.Write(q.Append(nil)); err != nil {
			return
		}
	}
}

func TestDatagrams(t *testing.T) {
	address, host := relay(t)
	go echo(host, 2000)
	c := dial(t, "udp", address)
	for _, garbage := range [][]byte{{}, []byte("short"), make([]byte, api.MaxQuestion+1), make([]byte, 60000)} {
		if _, err := c.Write(garbage); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Write(question(5)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	n, err := c.Read(buf)
	if err != nil || n != 2022 || !bytes.Equal(buf[:2], question(5)[:2]) {
		t.Errorf("answer of %d bytes, %v: the first one must be that of the question", n, err)
	}
}

func TestConnections(t *testing.T) {
	address, host := relay(t)
	go echo(host, 60000)
	// More than are served at a time, with what each leaves half done.
	for range maxConnections - 1 {
		if _, err := dial(t, "tcp", address).Write([]byte{0, 50, 1}); err != nil {
			t.Fatal(err)
		}
	}
	c := dial(t, "tcp", address)
	for id := range uint16(3) {
		q := question(id)
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)); err != nil {
			t.Fatal(err)
		}
		a := make([]byte, 2+len(q)+60000)
		if _, err := io.ReadFull(c, a); err != nil || !bytes.Equal(a[2:4], q[:2]) {
			t.Errorf("answer %d: %v, %x", id, err, a[:8])
		}
	}
	for name, garbage := range map[string][]byte{"short": {0, 3, 1, 2, 3}, "long": {0xff, 0xff}} {
		bad := dial(t, "tcp", address)
		c.Close() // its place is free
		if _, err := bad.Write(garbage); err != nil {
			t.Fatal(err)
		}
		if n, err := bad.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%s: the connection goes on", name)
		}
	}
}

// Questions without an answer are bounded; those beyond are dropped, and the server
// goes on when answers come.
func TestFlood(t *testing.T) {
	address, host := relay(t)
	c := dial(t, "udp", address)
	stop := make(chan struct{})
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_, _ = c.Write(question(uint16(i))) // as it likes
			}
		}
	}()
	buf := make([]byte, api.MaxQuestion)
	var last api.Question
	for range api.MaxQuestions {
		q, err := api.ReadQuestion(host, buf)
		if err != nil {
			t.Fatal(err)
		}
		last = q
		last.Message = bytes.Clone(q.Message)
	}
	if err := host.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if q, err := api.ReadQuestion(host, buf); err == nil {
		t.Errorf("%d questions wait, and still one comes: %d", api.MaxQuestions, q.ID)
	}
	close(stop)
	if err := host.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := host.Write(last.Append(nil)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(buf); err != nil || !bytes.Equal(buf[:n], last.Message) {
		t.Errorf("after the flood: %x, %v", buf[:n], err)
	}
	// What nobody asked does no harm.
	unknown := api.Question{ID: 1 << 30, Message: question(1)}
	if _, err := host.Write(unknown.Append(nil)); err != nil {
		t.Fatal(err)
	}
}

func TestOtherAddressesAreRefused(t *testing.T) {
	for _, address := range [][]byte{nil, {10, 0, 0, 1}, {127, 0, 0}, make([]byte, 16)} {
		if _, err := Listen(address); err == nil {
			t.Errorf("%v is taken", address)
		}
	}
}
