package channel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
)

func credit(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// hostile connects a host session to a peer that the test plays: what it returns
// has greeted, and what the session writes is thrown away.
func hostile(t testing.TB) (*Session, net.Conn) {
	t.Helper()
	a, b := pipe(t)
	go func() {
		_ = writePreface(b, Version)
		_, _ = io.Copy(io.Discard, b)
	}()
	s, err := New(a, Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); b.Close() })
	return s, b
}

func TestVersionMismatch(t *testing.T) {
	a, b := pipe(t)
	agentErr := make(chan error, 1)
	go func() { // an agent of another version learns the host's
		_ = writePreface(b, Version+1)
		agentErr <- readPreface(b)
	}()
	if _, err := New(a, Host); !errors.Is(err, ErrVersion) {
		t.Errorf("host: %v, want ErrVersion", err)
	}
	within(t, "the host's greeting", func() {
		if err := <-agentErr; err != nil {
			t.Errorf("the agent got no greeting of the host's version: %v", err)
		}
	})
	c, d := pipe(t)
	go func() {
		_, _ = io.ReadFull(d, make([]byte, 6))
		_ = writePreface(d, Version+1)
	}()
	if _, err := New(c, Agent); !errors.Is(err, ErrVersion) {
		t.Errorf("agent: %v, want ErrVersion", err)
	}
}

func TestGarbageInsteadOfGreeting(t *testing.T) {
	for _, greeting := range []string{"", "KA", "SSH-2.0-OpenSSH", "KATAK", "\x00\x00\x00\x00\x00\x01"} {
		a, b := pipe(t)
		go func() {
			_, _ = io.WriteString(b, greeting)
			b.Close()
		}()
		within(t, greeting, func() {
			if _, err := New(a, Host); err == nil || errors.Is(err, ErrVersion) {
				t.Errorf("%q: %v", greeting, err)
			}
		})
	}
}

func TestPeerBreaksTheProtocol(t *testing.T) {
	header, err := Header{Stdio, "x"}.encode()
	if err != nil {
		t.Fatal(err)
	}
	opened := appendFrame(nil, frame{2, frameOpen, header})
	with := func(f frame) []byte { return appendFrame(bytes.Clone(opened), f) }
	oversize := binary.BigEndian.AppendUint16(append(binary.BigEndian.AppendUint32(nil, 2), byte(frameData), 0), maxPayload+1)
	full := bytes.Clone(opened)
	for range Window / maxPayload {
		full = appendFrame(full, frame{2, frameData, make([]byte, maxPayload)})
	}
	tests := []struct {
		name, want string
		bytes      []byte
	}{
		{"id zero", "not its own", appendFrame(nil, frame{0, frameOpen, header})},
		{"the host's parity", "not its own", appendFrame(nil, frame{3, frameOpen, header})},
		{"id in use", "in use", with(frame{2, frameOpen, header})},
		{"open without header", "header of 0", appendFrame(nil, frame{2, frameOpen, nil})},
		{"unknown kind", "unknown stream kind", appendFrame(nil, frame{2, frameOpen, []byte{99}})},
		{"long name", "header of", appendFrame(nil, frame{2, frameOpen, append([]byte{1}, make([]byte, maxName+1)...)})},
		{"unknown frame", "unknown frame type", appendFrame(nil, frame{2, 77, nil})},
		{"frame type zero", "unknown frame type", appendFrame(nil, frame{2, 0, nil})},
		{"oversize frame", "exceeds the limit", oversize},
		{"data after EOF", "after its end", append(with(frame{2, frameEOF, nil}), appendFrame(nil, frame{2, frameData, []byte("x")})...)},
		{"credit above the window", "exceeds the window", with(frame{2, frameCredit, credit(1)})},
		{"credit that overflows", "exceeds the window", with(frame{2, frameCredit, credit(^uint32(0))})},
		{"short credit", "credit frame", with(frame{2, frameCredit, []byte{1}})},
		{"credit for nothing", "credit frame", appendFrame(nil, frame{8, frameCredit, nil})},
		{"more than the window", "exceeds its window", appendFrame(full, frame{2, frameData, []byte("x")})},
		{"truncated frame", "EOF", opened[:len(opened)-1]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, peer := hostile(t)
			go func() {
				_, _ = peer.Write(tt.bytes)
				if tt.want == "EOF" {
					peer.Close()
				}
			}()
			within(t, "the session's end", func() { <-s.Done() })
			if err := s.Err(); !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not say %q", err, tt.want)
			}
		})
	}
}

func TestLateFramesAreNotWrong(t *testing.T) {
	s, peer := hostile(t)
	var b []byte
	for _, f := range []frame{{9, frameData, []byte("x")}, {9, frameEOF, nil}, {9, frameReset, nil}, {9, frameCredit, credit(5)}} {
		b = appendFrame(b, f)
	}
	header, _ := Header{RPC, "last"}.encode()
	b = appendFrame(b, frame{2, frameOpen, header})
	go func() { _, _ = peer.Write(b) }()
	within(t, "accept", func() {
		if st, err := s.Accept(); err != nil || st.Header().Name != "last" {
			t.Errorf("%v", err)
		}
	})
}

// Nobody takes the streams, and the peer gives each up at once: neither may stall the
// session.
func TestPeerOpensWhatNobodyTakes(t *testing.T) {
	for _, reset := range []bool{false, true} {
		s, peer := hostile(t)
		go func() {
			header, _ := Header{Stdio, ""}.encode()
			for id := uint32(2); ; id += 2 {
				b := appendFrame(nil, frame{id, frameOpen, header})
				if reset {
					b = appendFrame(b, frame{id, frameReset, nil})
				}
				if _, err := peer.Write(b); err != nil {
					return
				}
			}
		}()
		within(t, "the session's end", func() { <-s.Done() })
		if err := s.Err(); !strings.Contains(err.Error(), "the peer opens stream") {
			t.Errorf("reset %v: %v", reset, err)
		}
	}
}

func TestPeerOpensTooMany(t *testing.T) {
	s, peer := hostile(t)
	go func() {
		header, _ := Header{Stdio, ""}.encode()
		for i := range uint32(MaxStreams + 1) {
			if _, err := peer.Write(appendFrame(nil, frame{2 + 2*i, frameOpen, header})); err != nil {
				return
			}
		}
	}()
	n := 0
	within(t, "the session's end", func() {
		for {
			if _, err := s.Accept(); err != nil {
				return
			}
			n++
		}
	})
	if n > MaxStreams || !strings.Contains(s.Err().Error(), "too many") {
		t.Errorf("%d streams, %v", n, s.Err())
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendFrame(nil, frame{2, frameData, []byte("hello")}))
	f.Add(appendFrame(nil, frame{^uint32(0), frameCredit, credit(Window)}))
	f.Add([]byte{0, 0, 0, 1, 2, 0, 0xff, 0xff})
	buf := make([]byte, maxPayload)
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		for {
			before := len(data) - r.Len()
			got, err := readFrame(r, buf)
			if err != nil {
				return
			}
			used := data[before : len(data)-r.Len()]
			again := appendFrame(nil, got)
			used = bytes.Clone(used)
			used[5] = 0 // reserved
			if !bytes.Equal(again, used) {
				t.Fatalf("%x decodes to %+v, which encodes to %x", used, got, again)
			}
		}
	})
}

// feed is a transport that plays a script and forgets what is written.
type feed struct{ io.Reader }

func (feed) Write(p []byte) (int, error) { return len(p), nil }
func (feed) Close() error                { return nil }

func FuzzSession(f *testing.F) {
	header, _ := Header{Stdio, "c//1"}.encode()
	opened := appendFrame(nil, frame{2, frameOpen, header})
	f.Add(opened)
	f.Add(appendFrame(bytes.Clone(opened), frame{2, frameData, []byte("hello")}))
	f.Add(appendFrame(bytes.Clone(opened), frame{2, frameEOF, nil}))
	f.Add(appendFrame(bytes.Clone(opened), frame{2, frameReset, nil}))
	f.Add(appendFrame(bytes.Clone(opened), frame{2, frameCredit, credit(1)}))
	f.Add(appendFrame(nil, frame{1, frameData, []byte("to the host's own stream")}))
	f.Add(appendFrame(nil, frame{1, frameCredit, credit(Window)}))
	f.Fuzz(func(t *testing.T, data []byte) {
		var greeting bytes.Buffer
		_ = writePreface(&greeting, Version)
		s, err := New(feed{io.MultiReader(&greeting, bytes.NewReader(data))}, Host)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		own, err := s.Open(Header{RPC, "agent"})
		if err == nil {
			go func() { _, _ = own.Write(make([]byte, 2*Window)) }()
		}
		held := 0
		for {
			st, err := s.Accept()
			if err != nil {
				break
			}
			st.mu.Lock()
			held += st.buf.len()
			st.mu.Unlock()
		}
		if held > len(data) {
			t.Fatalf("%d bytes are held after %d were sent", held, len(data))
		}
		if err == nil {
			_, _ = io.Copy(io.Discard, struct{ io.Reader }{own})
		}
	})
}

// A peer that fills what it may must not make the host hold more than the windows
// that it was promised.
func TestMemoryIsBounded(t *testing.T) {
	s, peer := hostile(t)
	const streams = 32
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	header, _ := Header{Stdio, ""}.encode()
	go func() {
		for i := range uint32(streams) {
			b := appendFrame(nil, frame{2 + 2*i, frameOpen, header})
			for range Window / 1024 { // small frames: growth by append is the worst case
				b = appendFrame(b, frame{2 + 2*i, frameData, make([]byte, 1024)})
			}
			_, _ = peer.Write(b)
		}
		_, _ = peer.Write(appendFrame(nil, frame{2000, frameOpen, header}))
	}()
	var all []*Stream
	within(t, "all streams", func() {
		for range streams + 1 {
			st, err := s.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			all = append(all, st)
		}
	})
	runtime.GC()
	runtime.ReadMemStats(&after)
	if got := int64(after.HeapAlloc) - int64(before.HeapAlloc); got > 2*streams*Window {
		t.Errorf("%d streams of %d bytes hold %d bytes", streams, Window, got)
	}
	runtime.KeepAlive(all)
}
