package channel

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// A write and a CloseWrite at the same time must not put data behind the end,
// which the peer would take for an attack.
func TestWriteAgainstCloseWrite(t *testing.T) {
	host, agent := connect(t, transports[1])
	for range 200 {
		near, far := open(t, host, agent)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _, _ = near.Write(make([]byte, 1000)) })
		}
		wg.Go(func() { _ = near.CloseWrite() })
		if _, err := io.Copy(io.Discard, struct{ io.Reader }{far}); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		far.Close()
	}
	if err := errors.Join(host.Err(), agent.Err()); err != nil {
		t.Error(err)
	}
}

// Whoever calls CloseWrite and then Close must not overtake another's CloseWrite:
// the peer would see a reset where the end was.
func TestCloseDoesNotOvertakeCloseWrite(t *testing.T) {
	host, agent := connect(t, transports[1])
	for range 500 {
		near, far := open(t, host, agent)
		if _, err := near.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		go func() { _ = near.CloseWrite() }()
		go func() { _ = near.CloseWrite(); near.Close() }()
		if got, err := io.ReadAll(far); string(got) != "x" || err != nil {
			t.Fatalf("read %q, %v", got, err)
		}
	}
}

func TestCloseUnblocksEverybody(t *testing.T) {
	for _, closer := range []string{"this side", "the peer"} {
		t.Run(closer, func(t *testing.T) {
			host, agent := connect(t, transports[0])
			near, _ := open(t, host, agent)
			full, _ := open(t, host, agent)
			ready := make(chan struct{}, 3)
			errs := make(chan error, 3)
			go func() { ready <- struct{}{}; _, err := near.Read(make([]byte, 1)); errs <- err }()
			go func() { ready <- struct{}{}; _, err := full.Write(make([]byte, 2*Window)); errs <- err }()
			go func() { ready <- struct{}{}; _, err := host.Accept(); errs <- err }()
			for range cap(ready) {
				<-ready
			}
			if closer == "the peer" {
				agent.Close()
			} else {
				host.Close()
			}
			within(t, closer, func() {
				for range cap(errs) {
					if err := <-errs; err == nil {
						t.Error("a blocked call returned without an error")
					}
				}
				<-host.Done()
				<-agent.Done()
			})
			if _, err := host.Open(Header{RPC, ""}); err == nil {
				t.Error("Open on a closed session succeeded")
			}
			// What the end of the session cut off must not look complete.
			if _, err := near.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("a read after the end: %v", err)
			}
		})
	}
}

func TestErrSaysWhoEnded(t *testing.T) {
	host, agent := connect(t, transports[1])
	host.Close()
	<-agent.Done()
	if !errors.Is(host.Err(), ErrClosed) || !errors.Is(agent.Err(), io.EOF) {
		t.Errorf("host: %v, want ErrClosed; agent: %v, want EOF", host.Err(), agent.Err())
	}
}

// TestPeerThatTakesNothing: who talks to a machine that is stuck learns it.
func TestPeerThatTakesNothing(t *testing.T) {
	defer func(d time.Duration) { stallTime = d }(stallTime)
	stallTime = 50 * time.Millisecond
	a, b := net.Pipe()
	t.Cleanup(func() { b.Close() })
	go func() {
		_ = writePreface(b, Version)
		_ = readPreface(b)
	}()
	s, err := New(a, Host)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(Header{Kind: RPC, Name: "agent"}); err == nil {
		t.Error("a stream was opened that nobody has heard of")
	}
	<-s.Done()
	if err := s.Err(); !errors.Is(err, ErrStalled) {
		t.Errorf("%v, want ErrStalled", err)
	}
}
