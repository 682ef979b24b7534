package e2e

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// usernet runs a command in the network namespace of a container's pid.
func usernet(t *testing.T, pid int, args ...string) {
	t.Helper()
	out, err := exec.Command("nsenter", append([]string{"-n", "-t", strconv.Itoa(pid)}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// The root of a container with a new user namespace and a new network namespace rules
// the network: the first process, later ones, and those of containers that join both.
func TestNetworkOfUserNamespace(t *testing.T) {
	h, w := newHost(t), newWire(t)
	rule := capabilities("CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_SYS_ADMIN")
	first := h.create(bundle(t, userns, rule, script("ping -c 1 -W 5 10.99.0.1 >/tmp/first 2>&1; exec sleep 1000000"), func(s *specs.Spec) {
		s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
	}))
	pid := h.state(first).PID
	ip(t, "-n", w.pod, "link", "set", "eth0", "netns", strconv.Itoa(pid))
	usernet(t, pid, "ip", "addr", "add", "10.99.0.2/24", "dev", "eth0")
	usernet(t, pid, "ip", "link", "set", "eth0", "up")
	h.must("start", first)
	contains(t, "ping of the first process", h.must("exec", first, "sh", "-c", "until grep -qs loss /tmp/first; do sleep 0.1; done; cat /tmp/first"), " 0% packet loss")
	h.rulesNetwork(first)
	equal(t, "sysctl", h.must("exec", first, "cat", "/proc/sys/net/ipv4/ip_forward"), "1\n")
	w.transfers(h, first)
	second := h.start(userns, func(s *specs.Spec) { // the mapping that Podman writes
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{Size: 1}}
		s.Linux.GIDMappings = s.Linux.UIDMappings
	}, rule, sharing(pid, specs.NetworkNamespace, specs.UserNamespace))
	h.rulesNetwork(second)
	for _, ns := range []string{"user", "net"} {
		link := "/proc/self/ns/" + ns
		equal(t, ns+" namespace", h.must("exec", second, "readlink", link), h.must("exec", first, "readlink", link))
	}
	equal(t, "mapping", h.must("exec", second, "sh", "-c", "echo $(cat /proc/self/uid_map)"), "0 100000 100 1000 5000 10\n")
	// Its other namespaces belong to that user namespace, too.
	h.must("exec", second, "sh", "-c", "mount -t tmpfs none /tmp && hostname changed && grep -q '^none /tmp' /proc/mounts")
	equal(t, "name of the first", h.must("exec", first, "hostname"), "kata\n")
	// The network is that of the sandbox, and does not go with the first container.
	h.must("kill", first, "KILL")
	h.eventuallyStatus(first, "stopped")
	h.must("delete", first)
	h.rulesNetwork(second)
	third := h.start(sharing(h.state(second).PID, specs.NetworkNamespace), rule)
	equal(t, "namespace of the third", h.must("exec", third, "readlink", "/proc/1/ns/net"), h.must("exec", second, "readlink", "/proc/1/ns/net"))
	h.must("delete", "--force", second)
	h.must("delete", "--force", third)
}

// rulesNetwork checks that a process of the container can do what takes capabilities
// over the network.
func (h *host) rulesNetwork(id string) {
	h.t.Helper()
	h.must("exec", id, "sh", "-c", "ping -c 1 -W 5 10.99.0.1 >/dev/null && ip addr add 10.99.0.77/32 dev lo && ip addr del 10.99.0.77/32 dev lo && ip route show | grep -q '^10.99.0.0/24 dev eth0'")
}

// An engine's own namespace is the engine's, as with runc: the container uses it.
func TestNetworkOfAnEngineInUserNamespace(t *testing.T) {
	h, w := newHost(t), newWire(t)
	id := h.start(userns, w.namespace(), capabilities("CAP_NET_RAW", "CAP_NET_ADMIN"))
	contains(t, "address", h.must("exec", id, "ip", "addr", "show", "eth0"), "10.99.0.2/24")
	r := h.kata("exec", id, "ip", "addr", "add", "10.99.0.77/32", "dev", "lo")
	equal(t, "exit code", r.code, 2)
	contains(t, "stderr", r.stderr, "not permitted")
}

func TestJoinUserNamespaceIsRefused(t *testing.T) {
	h := newHost(t)
	pid := h.state(h.start()).PID
	h.fails(1, []string{"linux.namespaces[6].path", "is a namespace of the host"}, "create", "--bundle",
		bundle(t, userns, sharing(pid, specs.NetworkNamespace, specs.UserNamespace)), h.newID())
}
