package e2e

import (
	"strings"
	"testing"
)

// TestInterfaceAttributes: a size of frames, a neighbour, and an interface that is no
// veth arrive in the guest as they are in the namespace.
func TestInterfaceAttributes(t *testing.T) {
	h, w := newHost(t), newWire(t)
	ip(t, "-n", w.pod, "link", "set", "eth0", "mtu", "1400")
	ip(t, "-n", w.pod, "neigh", "add", "10.99.0.9", "lladdr", "02:00:00:00:00:09", "dev", "eth0", "nud", "permanent")
	w.macvlan("mac0")
	w.settle("mac0")
	before := w.state()
	id := h.start(w.namespace(), capabilities("CAP_NET_RAW"))
	contains(t, "eth0", h.must("exec", id, "ip", "link", "show", "eth0"), "mtu 1400")
	contains(t, "neighbours", h.must("exec", id, "ip", "neigh", "show"), "10.99.0.9 dev eth0 lladdr 02:00:00:00:00:09", "PERMANENT")
	mac := strings.Fields(ip(t, "-n", w.pod, "-o", "link", "show", "mac0"))
	contains(t, "mac0", h.must("exec", id, "ip", "addr", "show", "mac0"), "10.98.0.2/24", addressAfter(mac))
	h.must("exec", id, "ping", "-c", "2", "-W", "5", "10.98.0.1")
	h.must("exec", id, "ping", "-c", "1", "-W", "5", "-s", "1300", "10.99.0.1")
	h.must("delete", "--force", id)
	equal(t, "namespace afterwards", w.state(), before)
}

// macvlan gives the pod 10.98.0.2 on an interface that shares its parent with the
// peer's, which has 10.98.0.1.
func (w *wire) macvlan(name string) {
	w.t.Helper()
	ip(w.t, "link", "add", "below", "netns", w.peer, "type", "veth", "peer", "name", "unused", "netns", w.peer)
	for _, link := range []string{"below", "unused"} {
		ip(w.t, "-n", w.peer, "link", "set", link, "up")
	}
	for ns, end := range map[string][2]string{w.peer: {"mac", "10.98.0.1/24"}, w.pod: {name, "10.98.0.2/24"}} {
		ip(w.t, "-n", w.peer, "link", "add", "link", "below", "name", "new", "type", "macvlan", "mode", "bridge")
		if ns != w.peer {
			ip(w.t, "-n", w.peer, "link", "set", "new", "netns", ns)
		}
		ip(w.t, "-n", ns, "link", "set", "new", "name", end[0])
		ip(w.t, "-n", ns, "addr", "add", end[1], "dev", end[0])
		ip(w.t, "-n", ns, "link", "set", end[0], "up")
	}
}

// addressAfter is what follows link/ether.
func addressAfter(words []string) string {
	for i, word := range words {
		if word == "link/ether" {
			return words[i+1]
		}
	}
	return "no hardware address"
}
