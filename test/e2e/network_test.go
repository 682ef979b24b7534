package e2e

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ip runs ip(8).
func ip(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// wire is a pair of namespaces with a veth pair between them: peer has 10.99.0.1
// and fd99::1, pod, which a container gets, 10.99.0.2 and fd99::2.
type wire struct {
	t         *testing.T
	peer, pod string
}

func newWire(t *testing.T) *wire {
	t.Helper()
	w := &wire{t, fmt.Sprintf("ke-peer-%d", os.Getpid()), fmt.Sprintf("ke-pod-%d", os.Getpid())}
	for _, ns := range []string{w.peer, w.pod} {
		ip(t, "netns", "add", ns)
		t.Cleanup(func() { ip(t, "netns", "del", ns) })
	}
	ip(t, "-n", w.peer, "link", "set", "lo", "up")
	w.link("eth0", 0)
	ip(t, "-n", w.pod, "route", "add", "default", "via", "10.99.0.1")
	w.settle("eth0")
	return w
}

// settle waits for an interface of the pod: it takes a moment to notice its other end,
// and to be sure of its link-local address.
func (w *wire) settle(name string) {
	w.t.Helper()
	for settled := false; !settled; time.Sleep(10 * time.Millisecond) {
		now := ip(w.t, "-n", w.pod, "addr", "show", name)
		settled = strings.Contains(now, "state UP") && strings.Contains(now, "fe80:") && !strings.Contains(now, "tentative")
	}
}

// link adds a veth pair; the n-th one has the networks 10.(99+n).0.0/24 and fd(99+n)::/64.
func (w *wire) link(name string, n int) {
	w.t.Helper()
	out := fmt.Sprintf("out%d", n)
	ip(w.t, "link", "add", out, "netns", w.peer, "type", "veth", "peer", "name", name, "netns", w.pod)
	for ns, end := range map[string][2]string{w.peer: {out, "1"}, w.pod: {name, "2"}} {
		ip(w.t, "-n", ns, "addr", "add", fmt.Sprintf("10.%d.0.%s/24", 99+n, end[1]), "dev", end[0])
		ip(w.t, "-n", ns, "addr", "add", fmt.Sprintf("fd%d::%s/64", 99-n, end[1]), "dev", end[0], "nodad")
		ip(w.t, "-n", ns, "link", "set", end[0], "up")
	}
}

// state is what must be the same before and after a container.
func (w *wire) state() string {
	w.t.Helper()
	return ip(w.t, "-n", w.pod, "addr") + ip(w.t, "-n", w.pod, "route") + ip(w.t, "-n", w.pod, "-6", "route") + ip(w.t, "-n", w.pod, "link")
}

// inPeer runs f on a thread in the peer's namespace.
func (w *wire) inPeer(f func() error) {
	w.t.Helper()
	errc := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		ns, err := os.Open("/run/netns/" + w.peer)
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			ns.Close()
		}
		if err == nil {
			err = f()
		}
		errc <- err
	}()
	if err := <-errc; err != nil {
		w.t.Fatal(err)
	}
}

func (w *wire) namespace() edit {
	return func(s *specs.Spec) {
		for i := range s.Linux.Namespaces {
			if s.Linux.Namespaces[i].Type == specs.NetworkNamespace {
				s.Linux.Namespaces[i].Path = "/run/netns/" + w.pod
			}
		}
	}
}

func TestNetworkNamespace(t *testing.T) {
	h, w := newHost(t), newWire(t)
	before := w.state()
	id := h.start(w.namespace(), capabilities("CAP_NET_RAW", "CAP_NET_ADMIN"))
	addresses := h.must("exec", id, "ip", "addr", "show", "eth0")
	for _, want := range []string{"10.99.0.2/24", "fd99::2/64", "UP"} {
		if !strings.Contains(addresses, want) {
			t.Errorf("eth0 lacks %s:\n%s", want, addresses)
		}
	}
	if routes := h.must("exec", id, "ip", "route"); !strings.Contains(routes, "default via 10.99.0.1 dev eth0") {
		t.Errorf("routes: %s", routes)
	}
	h.must("exec", id, "ping", "-c", "2", "-W", "5", "10.99.0.1")
	h.must("exec", id, "ping", "-c", "2", "-W", "5", "fd99::1")
	ip(t, "netns", "exec", w.peer, busybox, "ping", "-q", "-c", "2", "-W", "5", "10.99.0.2")
	w.transfers(h, id)
	// One more interface, while it runs.
	w.link("eth1", 1)
	h.must("exec", id, "sh", "-c", "until ip addr show eth1 2>/dev/null | grep -q 10.100.0.2; do sleep 0.1; done")
	h.must("exec", id, "ping", "-c", "1", "-W", "5", "10.100.0.1")
	ip(t, "-n", w.pod, "link", "del", "eth1")
	h.must("exec", id, "sh", "-c", "while ip link show eth1 2>/dev/null; do sleep 0.1; done")
	h.must("delete", "--force", id)
	equal(t, "namespace afterwards", w.state(), before)
	// The host's stack has the interface again.
	ip(t, "netns", "exec", w.peer, busybox, "ping", "-q", "-c", "1", "-W", "5", "10.99.0.2")
}

// transfers sends random bytes through TCP both ways and compares what arrives.
func (w *wire) transfers(h *host, id string) {
	w.t.Helper()
	data := make([]byte, 8<<20)
	_, _ = rand.Read(data) // it does not fail
	want := fmt.Sprintf("%x  -\n", sha256.Sum256(data))
	var l net.Listener
	w.inPeer(func() (err error) {
		l, err = net.Listen("tcp", "10.99.0.1:4000")
		return err
	})
	defer l.Close()
	sent := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = c.Write(data)
			c.Close()
		}
		sent <- err
	}()
	equal(w.t, "received in the container", h.must("exec", id, "sh", "-c", "nc 10.99.0.1 4000 </dev/null | sha256sum"), want)
	if err := <-sent; err != nil {
		w.t.Error(err)
	}
	h.must("exec", "--detach", id, "sh", "-c", "nc -l -p 4001 >/tmp/received")
	var c net.Conn
	w.inPeer(func() (err error) {
		for range 100 {
			if c, err = net.DialTimeout("tcp", "10.99.0.2:4001", time.Second); err == nil {
				return nil
			}
			time.Sleep(50 * time.Millisecond)
		}
		return err
	})
	if _, err := c.Write(data); err != nil {
		w.t.Error(err)
	}
	c.Close()
	h.must("exec", id, "sh", "-c", "while pidof nc; do sleep 0.1; done >/dev/null")
	equal(w.t, "sent to the container", h.must("exec", id, "sh", "-c", "sha256sum </tmp/received"), want)
}

// An engine that puts the interface into the namespace of the container's pid,
// between create and start.
func TestInterfaceBetweenCreateAndStart(t *testing.T) {
	h, w := newHost(t), newWire(t)
	id := h.create(bundle(t, capabilities("CAP_NET_RAW")))
	ip(t, "-n", w.pod, "link", "set", "eth0", "netns", fmt.Sprint(h.state(id).PID))
	nsenter := func(args ...string) {
		out, err := exec.Command("nsenter", append([]string{"-n", "-t", fmt.Sprint(h.state(id).PID), "ip"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	nsenter("addr", "add", "10.99.0.2/24", "dev", "eth0")
	nsenter("link", "set", "eth0", "up")
	h.must("start", id)
	h.must("exec", id, "ping", "-c", "1", "-W", "5", "10.99.0.1")
}

func TestHostNetworkRefused(t *testing.T) {
	h := newHost(t)
	h.refused(1, []string{"linux.namespaces"}, "create", bundle(t, func(s *specs.Spec) {
		for i := range s.Linux.Namespaces {
			if s.Linux.Namespaces[i].Type == specs.NetworkNamespace {
				s.Linux.Namespaces[i].Path = "/proc/1/ns/net"
			}
		}
	}))
}
