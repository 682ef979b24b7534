package names

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kata/agent/api"
	"kata/test/nameserver"
)

func TestLoopback(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "",
		"nameserver 127.0.0.11\noptions x":  "127.0.0.11",
		"nameserver 8.8.8.8\n":              "",
		"#nameserver 127.0.0.1\nnameserver": "",
		"nameserver ::1\nnameserver 127.0.0.53 # x\nnameserver 127.0.0.53": "127.0.0.53",
		strings.Repeat("nameserver 8.8.8.8\n", 3) + "nameserver 127.0.0.1": "",
		"nameserver 127.0.0.1x\nnameserver 127.1":                          "",
		"x" + strings.Repeat("y", 1<<17) + "\nnameserver 127.0.0.1":        "",
	} {
		var got []string
		for _, a := range Loopback(strings.NewReader(text)) {
			got = append(got, a.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%.60q: got %v, want %q", text, got, want)
		}
	}
}

// guest is the other end of a relay's stream.
type guest struct {
	net.Conn
	t *testing.T
}

func relay(t *testing.T, dial Dial) guest {
	t.Helper()
	near, far := net.Pipe()
	go Serve(far, dial)
	t.Cleanup(func() { near.Close() })
	if err := near.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return guest{near, t}
}

func (g guest) ask(id uint32, tcp bool, message []byte) {
	g.t.Helper()
	q := api.Question{ID: id, TCP: tcp, Message: message}
	if _, err := g.Write(q.Append(nil)); err != nil {
		g.t.Fatal(err)
	}
}

func (g guest) answer() api.Question {
	g.t.Helper()
	a, err := api.ReadQuestion(g, make([]byte, api.MaxAnswer))
	if err != nil {
		g.t.Fatal(err)
	}
	return a
}

func serve(t *testing.T) (*nameserver.Server, Dial) {
	t.Helper()
	const address = "127.0.0.1:0"
	l, err := net.Listen("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String() // a port that is free for both
	l.Close()
	s, err := nameserver.Start(at, map[string][4]byte{"one.test": {192, 0, 2, 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, func(network string, timeout time.Duration) (net.Conn, error) {
		return net.DialTimeout(network, at, timeout)
	}
}

func TestAnswers(t *testing.T) {
	_, dial := serve(t)
	g := relay(t, dial)
	for _, tcp := range []bool{false, true} {
		g.ask(7, tcp, nameserver.Question(1, "one.test"))
		if a := g.answer(); a.ID != 7 || a.TCP != tcp || !bytes.HasSuffix(a.Message, []byte{192, 0, 2, 1}) {
			t.Errorf("TCP %v: %+v", tcp, a)
		}
	}
	g.ask(8, true, nameserver.Question(2, nameserver.Large))
	if a := g.answer(); len(a.Message) < 16*nameserver.LargeCount {
		t.Errorf("a large answer has %d bytes", len(a.Message))
	}
}

// serverFailure says whether a message is the answer SERVFAIL.
func serverFailure(m []byte) bool { return len(m) >= api.MinMessage && m[2]&0x80 != 0 && m[3]&0xf == 2 }

func TestNobodyAnswers(t *testing.T) {
	refused := errors.New("refused")
	g := relay(t, func(string, time.Duration) (net.Conn, error) { return nil, refused })
	q := nameserver.Question(9, "one.test")
	g.ask(1, false, q)
	if a := g.answer(); !serverFailure(a.Message) || !bytes.Equal(a.Message[4:], q[4:]) || !bytes.Equal(a.Message[:2], q[:2]) {
		t.Errorf("%x", a.Message)
	}
	g.ask(2, true, []byte("short"))
	if a := g.answer(); a.ID != 2 || len(a.Message) != 0 {
		t.Errorf("the answer to what is no message: %+v", a)
	}
}

func TestGarbageEndsTheRelay(t *testing.T) {
	_, dial := serve(t)
	for name, garbage := range map[string][]byte{
		"flag": {0, 0, 0, 1, 0, 12, 2, 0}, "reserved": {0, 0, 0, 1, 0, 12, 0, 1},
		"length": {0, 0, 0, 1, 0x10, 1, 0, 0},
	} {
		g := relay(t, dial)
		if _, err := g.Write(garbage); err != nil {
			t.Fatal(err)
		}
		if n, err := g.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the stream goes on: %d, %v", name, n, err)
		}
	}
}

// A guest that asks without end has at most so many connections, and is read no more
// until they are done.
func TestFlood(t *testing.T) {
	var open, most atomic.Int64
	release := make(chan struct{})
	g := relay(t, func(string, time.Duration) (net.Conn, error) {
		n := open.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-release
		open.Add(-1)
		return nil, errors.New("released")
	})
	const questions = 10 * api.MaxQuestions
	go func() {
		for i := range uint32(questions) {
			q := api.Question{ID: i, Message: nameserver.Question(uint16(i), "one.test")}
			if _, err := g.Write(q.Append(nil)); err != nil {
				return
			}
		}
	}()
	for deadline := time.Now().Add(time.Minute); most.Load() < api.MaxQuestions; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("only %d questions are asked", most.Load())
		}
	}
	close(release)
	var ids []uint32
	for range questions {
		ids = append(ids, g.answer().ID)
	}
	slices.Sort(ids)
	if n := len(slices.Compact(ids)); n != questions {
		t.Errorf("%d of %d questions have an answer", n, questions)
	}
	if m := most.Load(); m > api.MaxQuestions {
		t.Errorf("%d questions at a time, the limit is %d", m, api.MaxQuestions)
	}
}

// One silent name does not keep others from their answers.
func TestSilence(t *testing.T) {
	s, dial := serve(t)
	g := relay(t, dial)
	g.ask(1, false, nameserver.Question(1, nameserver.Silent))
	for s.Asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	g.ask(2, false, nameserver.Question(2, "one.test"))
	if a := g.answer(); a.ID != 2 {
		t.Errorf("%+v", a)
	}
}

func FuzzLoopback(f *testing.F) {
	f.Add("nameserver 127.0.0.11\nsearch x\n")
	f.Fuzz(func(t *testing.T, text string) {
		list := Loopback(strings.NewReader(text))
		if len(list) > maxServers || slices.ContainsFunc(list, func(a netip.Addr) bool { return !a.IsLoopback() }) {
			t.Errorf("%v", list)
		}
	})
}
