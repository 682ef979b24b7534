package main

import (
	"context"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWire(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	w, err := newWire()
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	dial := func(network string) (c net.Conn) {
		t.Helper()
		err := w.enter(func() (err error) {
			c, err = net.DialTimeout(network, w.address(), 10*time.Second)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		return c
	}
	up := dial("tcp").(*net.TCPConn)
	if _, err := up.Write(make([]byte, 1<<20)); err != nil {
		t.Error(err)
	}
	up.CloseWrite()
	if answer, err := io.ReadAll(up); err != nil || string(answer) != "." {
		t.Errorf("the end of the data was answered by %q, %v", answer, err)
	}
	down := dial("tcp")
	if _, err := down.Write([]byte{'d'}); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(down, make([]byte, 1<<20)); err != nil {
		t.Error(err)
	}
	echo, answer := dial("udp"), make([]byte, 10)
	if _, err := echo.Write([]byte("ping")); err != nil {
		t.Error(err)
	}
	if n, err := echo.Read(answer); err != nil || string(answer[:n]) != "ping" {
		t.Errorf("echo %q, %v", answer[:n], err)
	}
	ns, err := os.Open(w.path())
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if kind, err := unix.IoctlRetInt(int(ns.Fd()), unix.NS_GET_NSTYPE); err != nil || kind != unix.CLONE_NEWNET {
		t.Errorf("%s is a namespace of type %#x, %v", w.path(), kind, err)
	}
}

func TestNetworkedRuntime(t *testing.T) {
	plain := &runtime{name: "runsc-disk", global: runscFlags("runsc-disk")}
	with := plain.networked()
	if slices.Contains(with.global, "--network=none") || !slices.Contains(with.global, "--network=sandbox") || !slices.Contains(with.global, "--overlay2=none") {
		t.Errorf("flags %v", with.global)
	}
	if !slices.Contains(plain.global, "--network=none") {
		t.Errorf("the runtime itself has changed: %v", plain.global)
	}
}

func TestControlLeavesWarmUpsOut(t *testing.T) {
	s, r, log := fakeRuntime(t, "")
	b := &bench{session: s, bundles: &bundles{sleep: "bundle"}, out: &report{}, runtimes: []*runtime{r}, n: 3, progress: func(string, ...any) {}}
	b.control(context.Background())
	if len(b.out.Lines) != len(controls) || len(b.out.Notes) > 0 {
		t.Fatalf("report %+v", b.out)
	}
	for _, l := range b.out.Lines {
		if l.By["fake"].N != 3 {
			t.Errorf("%s has %d samples", l.Key, l.By["fake"].N)
		}
	}
	if n := strings.Count(log(), "update --cpu-share 512 "+s.tag); n != 3+warmUps {
		t.Errorf("%d updates: %s", n, log())
	}
	if problems := s.close(); len(problems) > 0 {
		t.Errorf("problems %v", problems)
	}
}
