package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/network"
	"kata/test/nameserver"
)

// nameServer starts one at an address of the pod's namespace.
func (w *wire) nameServer(address string, known map[string][4]byte) *nameserver.Server {
	w.t.Helper()
	ip(w.t, "-n", w.pod, "link", "set", "lo", "up")
	ns, err := os.Open("/run/netns/" + w.pod)
	if err != nil {
		w.t.Fatal(err)
	}
	defer ns.Close()
	var s *nameserver.Server
	err = network.Enter(ns, func() (err error) {
		s, err = nameserver.Start(address, known)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { s.Close() })
	return s
}

// resolvConf mounts a file, and returns how to change it.
func resolvConf(t *testing.T, text string) (edit, func(text string)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(text)
	return func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/etc/resolv.conf", Type: "bind", Source: file, Options: []string{"rbind", "ro"}})
	}, write
}

// TestNameServerOfTheNamespace has one where Docker's is.
func TestNameServerOfTheNamespace(t *testing.T) {
	h, w := newHost(t), newWire(t)
	s := w.nameServer("127.0.0.11:53", map[string][4]byte{"one.test": {192, 0, 2, 1}})
	conf, _ := resolvConf(t, "nameserver 127.0.0.11\n")
	id := h.start(w.namespace(), conf)
	wantName(h, id, "one.test", "192.0.2.1")
	if r := h.kata("exec", id, "nslookup", "two.test"); r.code == 0 {
		t.Errorf("a name that nobody has: %s", r)
	}
	// By TCP: an answer of 48 KB and, after garbage, one more.
	large := nameserver.Question(1, nameserver.Large)
	ask := "printf '" + escape(append([]byte{0, byte(len(large))}, large...)) + "' | nc 127.0.0.11 53 | wc -c"
	equal(t, "bytes by TCP", h.must("exec", id, "sh", "-c", ask), fmt.Sprintln(2+len(large)+16*nameserver.LargeCount))
	h.must("exec", id, "sh", "-c", "head -c 100000 /dev/urandom | nc 127.0.0.11 53 >/dev/null 2>&1; true")
	wantName(h, id, "one.test", "192.0.2.1")
	// Port 53 is still the container's own, where the server is not.
	h.must("exec", "--detach", id, "nc", "-l", "-p", "53")
	h.must("exec", id, "sh", "-c", "until netstat -lnt | grep -q ':53 '; do sleep 0.1; done")
	wantName(h, id, "one.test", "192.0.2.1")
	// Nobody there any more: no answer is a quick one.
	s.Close()
	if r := h.kata("exec", id, "nslookup", "one.test"); r.code == 0 || !strings.Contains(r.stdout+r.stderr, "SERVFAIL") {
		t.Errorf("without the server: %s", r)
	}
}

func wantName(h *host, id, name, address string) {
	h.t.Helper()
	if out := h.must("exec", id, "nslookup", name); !strings.Contains(out, "Address: "+address) || !strings.Contains(out, "127.0.0.11:53") {
		h.t.Errorf("nslookup %s: want %s from 127.0.0.11:53; got %s", name, address, out)
	}
}

// escape writes bytes for printf(1).
func escape(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		fmt.Fprintf(&s, `\%03o`, c)
	}
	return s.String()
}

// TestNameServerLater is one that comes with an interface, while the container runs.
func TestNameServerLater(t *testing.T) {
	h, w := newHost(t), newWire(t)
	conf, write := resolvConf(t, "nameserver 10.99.0.1\n")
	id := h.start(w.namespace(), conf)
	w.nameServer("127.0.0.11:53", map[string][4]byte{"one.test": {192, 0, 2, 1}})
	write("nameserver 127.0.0.11\n")
	w.link("eth1", 1)
	h.must("exec", id, "sh", "-c", "until nslookup one.test 127.0.0.11 2>/dev/null; do sleep 0.1; done")
	wantName(h, id, "one.test", "192.0.2.1")
}

// A container that joins a sandbox brings a file that the first one did not have.
func TestNameServerOfASecondContainer(t *testing.T) {
	h, w := newHost(t), newWire(t)
	w.nameServer("127.0.0.11:53", map[string][4]byte{"one.test": {192, 0, 2, 1}})
	first := h.start(w.namespace())
	conf, _ := resolvConf(t, "nameserver 127.0.0.11\n")
	second := h.start(w.namespace(), conf)
	equal(t, "sandbox", h.state(second).Kata.Sandbox, first)
	wantName(h, second, "one.test", "192.0.2.1")
}
