package channel

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds what must happen; nothing depends on how fast it does.
const patience = time.Minute

func pipe(testing.TB) (a, b net.Conn) { return net.Pipe() }

func socketpair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		if conns[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return conns[0], conns[1]
}

type transport struct {
	name string
	pair func(testing.TB) (a, b net.Conn)
}

var transports = []transport{{"pipe", pipe}, {"socketpair", socketpair}}

func connect(t testing.TB, tr transport) (host, agent *Session) {
	t.Helper()
	a, b := tr.pair(t)
	errc := make(chan error, 1)
	go func() {
		var err error
		agent, err = New(b, Agent)
		errc <- err
	}()
	host, err := New(a, Host)
	if err := errors.Join(err, <-errc); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close(); agent.Close() })
	return host, agent
}

// within fails the test when f does not end.
func within(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s: still waiting after %v", what, patience)
	}
}

func open(t testing.TB, from, to *Session) (near, far *Stream) {
	t.Helper()
	near, err := from.Open(Header{Stdio, "a/b/1"})
	if err != nil {
		t.Fatal(err)
	}
	if far, err = to.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

func noise(seed uint64, n int) []byte {
	var key [32]byte
	key[0] = byte(seed)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}

func TestManyStreamsBothWays(t *testing.T) {
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			host, agent := connect(t, tr)
			const streams, size = 20, 3*Window/2 + 7
			go func() { // the agent echoes
				for {
					st, err := agent.Accept()
					if err != nil {
						return
					}
					go func() {
						_, _ = io.Copy(struct{ io.Writer }{st}, struct{ io.Reader }{st})
						_ = st.CloseWrite()
					}()
				}
			}()
			var wg sync.WaitGroup
			for i := range streams {
				st, err := host.Open(Header{Stdio, fmt.Sprint(i)})
				if err != nil {
					t.Fatal(err)
				}
				sent := noise(uint64(i), size)
				wg.Go(func() {
					if _, err := st.Write(sent); err != nil {
						t.Errorf("stream %d: %v", i, err)
					}
					_ = st.CloseWrite()
				})
				wg.Go(func() {
					got, err := io.ReadAll(st)
					if err != nil || !bytes.Equal(got, sent) {
						t.Errorf("stream %d: %d of %d bytes came back, error %v", i, len(got), len(sent), err)
					}
				})
			}
			within(t, "echo", wg.Wait)
			within(t, "streams to be forgotten", func() { waitForgotten(host); waitForgotten(agent) })
		})
	}
}

// waitForgotten waits until a session has no streams: the last frame of one may
// still be on its way when its reader is done.
func waitForgotten(s *Session) {
	for {
		s.mu.Lock()
		n := len(s.streams)
		s.mu.Unlock()
		if n == 0 {
			return
		}
		time.Sleep(time.Millisecond) // polls: there is nothing to wait on
	}
}

func TestHeaderArrives(t *testing.T) {
	host, agent := connect(t, transports[0])
	for _, h := range []Header{{RPC, "agent"}, {Stdio, "c//1"}, {Console, ""}, {RPC, string(bytes.Repeat([]byte{'x'}, maxName))}} {
		for _, dir := range [][2]*Session{{host, agent}, {agent, host}} {
			if _, err := dir[0].Open(h); err != nil {
				t.Fatal(err)
			}
			st, err := dir[1].Accept()
			if err != nil {
				t.Fatal(err)
			}
			if st.Header() != h {
				t.Errorf("got %+v, want %+v", st.Header(), h)
			}
		}
	}
	if _, err := host.Open(Header{RPC, string(make([]byte, maxName+1))}); err == nil {
		t.Error("a stream with too long a name was opened")
	}
}

func TestHalfClose(t *testing.T) {
	host, agent := connect(t, transports[0])
	near, far := open(t, host, agent)
	if _, err := near.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := near.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := near.Write([]byte("more")); !errors.Is(err, ErrClosed) {
		t.Errorf("write after CloseWrite: %v, want ErrClosed", err)
	}
	if got, err := io.ReadAll(far); err != nil || string(got) != "question" {
		t.Fatalf("the agent read %q, %v", got, err)
	}
	if _, err := far.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	_ = far.CloseWrite()
	if got, err := io.ReadAll(near); err != nil || string(got) != "answer" {
		t.Fatalf("the host read %q, %v", got, err)
	}
	for _, st := range []*Stream{near, far} {
		if err := errors.Join(st.CloseWrite(), st.Close(), st.Close()); err != nil {
			t.Errorf("closing a finished stream: %v", err)
		}
	}
}

func TestResetKeepsWhatArrived(t *testing.T) {
	host, agent := connect(t, transports[0])
	near, far := open(t, host, agent)
	if _, err := near.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	if err := near.Close(); err != nil {
		t.Fatal(err)
	}
	within(t, "read", func() {
		got, err := io.ReadAll(far)
		if string(got) != "last words" || !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("read %q, %v; want all bytes and ErrClosedPipe", got, err)
		}
	})
	if _, err := far.Write([]byte("x")); err == nil {
		t.Error("a write to a reset stream succeeded")
	}
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("read after Close: %v, want ErrClosed", err)
	}
	again, other := open(t, host, agent) // the session lives on
	_, _ = again.Write([]byte("y"))
	if _, err := io.ReadFull(other, make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

func TestStalledReaderStallsNobody(t *testing.T) {
	host, agent := connect(t, transports[0])
	stalled, far := open(t, host, agent)
	sent := noise(1, 4*Window)
	written := make(chan error, 1)
	go func() {
		_, err := stalled.Write(sent)
		_ = stalled.CloseWrite()
		written <- err
	}()
	// Once the window is full, nothing more comes: wait for exactly that much.
	within(t, "a full window", func() {
		for {
			far.mu.Lock()
			n := far.buf.len()
			far.mu.Unlock()
			if n >= Window {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	for range 50 {
		other, end := open(t, host, agent)
		if _, err := other.Write([]byte("passes")); err != nil {
			t.Fatal(err)
		}
		_ = other.CloseWrite()
		if got, err := io.ReadAll(end); string(got) != "passes" || err != nil {
			t.Fatalf("read %q, %v", got, err)
		}
	}
	far.mu.Lock()
	if far.buf.len() != Window {
		t.Errorf("%d bytes wait at the receiver, the window is %d", far.buf.len(), Window)
	}
	far.mu.Unlock()
	select {
	case err := <-written:
		t.Fatalf("a write of %d bytes ended without a reader: %v", len(sent), err)
	default:
	}
	got, err := io.ReadAll(far)
	if err != nil || sha256.Sum256(got) != sha256.Sum256(sent) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

// Concurrent writers of one stream share its window; a credit must wake all of
// them, for the first may leave some of it.
func TestConcurrentWriters(t *testing.T) {
	host, agent := connect(t, transports[0])
	near, far := open(t, host, agent)
	const writers, size = 8, 100_000
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for _, chunk := range [][]byte{make([]byte, size-i), make([]byte, i)} {
				if _, err := near.Write(chunk); err != nil {
					t.Error(err)
				}
			}
		})
	}
	go func() { wg.Wait(); _ = near.CloseWrite() }()
	within(t, "read", func() {
		n, err := io.Copy(io.Discard, struct{ io.Reader }{far})
		if n != writers*size || err != nil {
			t.Errorf("%d of %d bytes, %v", n, writers*size, err)
		}
	})
}

func TestOpenIsBounded(t *testing.T) {
	host, agent := connect(t, transports[1])
	go func() {
		for {
			if _, err := agent.Accept(); err != nil {
				return
			}
		}
	}()
	for range MaxStreams {
		if _, err := host.Open(Header{Stdio, ""}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := host.Open(Header{Stdio, ""}); !errors.Is(err, ErrTooMany) {
		t.Errorf("one too many: %v, want ErrTooMany", err)
	}
	if err := errors.Join(host.Err(), agent.Err()); err != nil {
		t.Errorf("the session ended: %v", err)
	}
}

func BenchmarkThroughput(b *testing.B) {
	for _, tr := range transports {
		b.Run(tr.name, func(b *testing.B) {
			host, agent := connect(b, tr)
			near, far := open(b, host, agent)
			go func() { _, _ = io.Copy(io.Discard, struct{ io.Reader }{far}) }()
			buf := make([]byte, 64<<10)
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				if _, err := near.Write(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
