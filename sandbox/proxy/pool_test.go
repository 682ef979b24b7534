package proxy

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSlots: a place is one process' at a time, and leaves nothing.
func TestSlots(t *testing.T) {
	root := t.TempDir()
	o := &order{NICs: 1}
	s, err := takeSlot(o.dir(root), 0)
	if err != nil || s == nil {
		t.Fatalf("%v, %v", s, err)
	}
	if again, err := takeSlot(o.dir(root), 0); again != nil || err != nil {
		t.Errorf("taken twice: %v, %v", again, err)
	}
	other, err := takeSlot(o.dir(root), 1)
	if err != nil || other == nil {
		t.Fatalf("%v, %v", other, err)
	}
	s.leave()
	if again, err := takeSlot(o.dir(root), 0); again == nil || err != nil {
		t.Errorf("not free again: %v, %v", again, err)
	} else {
		again.leave()
	}
	other.leave()
	if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if (&order{}).dir(root) == o.dir(root) {
		t.Error("machines of two kinds are in one place")
	}
}

// pair is a connection between two proxies.
func pair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		conns[i] = c.(*net.UnixConn)
	}
	return conns[0], conns[1]
}

// TestClaim hands an entrance over.
func TestClaim(t *testing.T) {
	a, b := pair(t)
	dir := t.TempDir()
	var fds []int
	for _, name := range []string{"control", "listener", "network"} {
		fd, err := unix.Open(filepath.Join(dir, name), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
	}
	e, err := newEntrance(fds)
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	e.id = "box"
	done := make(chan bool)
	go func() { done <- e.offer(a, &CreateRequest{Bundle: "/bundle"}) }()
	got, req, err := receiveClaim(b)
	if err != nil {
		t.Fatal(err)
	}
	defer got.close()
	if !<-done || got.id != "box" || req.Bundle != "/bundle" {
		t.Errorf("%+v, %+v", got, req)
	}
	for i, f := range got.files() {
		mine, err := e.files()[i].Stat()
		theirs, terr := f.Stat()
		if err != nil || terr != nil || !os.SameFile(mine, theirs) {
			t.Errorf("descriptor %d is another file: %v, %v", i, err, terr)
		}
	}
}

// TestBadClaims: what is no claim takes no machine, and leaves no descriptors.
func TestBadClaims(t *testing.T) {
	open := func() int {
		l, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(l)
	}
	for name, text := range map[string]string{"no descriptors": `{"ID":"x"}`, "no JSON": "{", "nothing": ""} {
		a, b := pair(t)
		before := open()
		if text == "" {
			a.Close()
			before--
		} else if _, _, err := a.WriteMsgUnix([]byte(text), unix.UnixRights(0), nil); err != nil {
			t.Fatal(err)
		}
		if _, _, err := receiveClaim(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if after := open(); after != before {
			t.Errorf("%s: %d descriptors, %d before", name, after, before)
		}
	}
}
