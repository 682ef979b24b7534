package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// timens gives the container clocks of its own.
func timens(monotonic, boottime int64) edit {
	return func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: monotonic, Nanosecs: 5}, "boottime": {Secs: boottime}}
	}
}

// uptime reads what /proc/uptime says, in seconds of the boot time.
func uptime(t *testing.T, text string) float64 {
	t.Helper()
	seconds, _, _ := strings.Cut(text, " ")
	f, err := strconv.ParseFloat(seconds, 64)
	if err != nil {
		t.Fatalf("/proc/uptime has %q: %v", text, err)
	}
	return f
}

// clockOf checks that the container's boot time is between these, in seconds, for a
// process that comes later.
func (h *host) clockOf(id string, from, to float64) {
	h.t.Helper()
	if up := uptime(h.t, h.must("exec", id, "cat", "/proc/uptime")); up < from || up > to {
		h.t.Errorf("boot time of %s is %v s, want it between %v and %v", id, up, from, to)
	}
}

// All processes of a container and those of one that joins its time namespace have
// its clocks; others have the guest's.
func TestTimeNamespace(t *testing.T) {
	const offset, hour = 5_000_000, 3600
	h := newHost(t)
	first := h.create(bundle(t, script("cat /proc/uptime >/tmp/first; exec sleep 1000000"), timens(7_000_000, offset), func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "cat /proc/uptime > /tmp/hook"}}}}
	}))
	h.must("start", first)
	h.clockOf(first, offset, offset+hour)
	for _, process := range []string{"first", "hook"} {
		file := "/tmp/" + process
		up := uptime(t, h.must("exec", first, "sh", "-c", "until [ -s "+file+" ]; do sleep 0.1; done; cat "+file))
		if up < offset || up > offset+hour {
			t.Errorf("boot time of the %s process is %v s", process, up)
		}
	}
	const offsets = "monotonic 7000000 5 boottime 5000000 0\n"
	shown := func(id string) string { return h.must("exec", id, "sh", "-c", "echo $(cat /proc/self/timens_offsets)") }
	equal(t, "offsets", shown(first), offsets)
	pid := h.state(first).PID
	network := sharing(pid, specs.NetworkNamespace)
	second := h.start(network, func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace, Path: fmt.Sprintf("/proc/%d/ns/time", pid)})
	})
	equal(t, "offsets of one that joined", shown(second), offsets)
	h.clockOf(second, offset, offset+hour)
	h.clockOf(h.start(network), 0, hour)
	h.clockOf(h.start(network, timens(0, 2*offset)), 2*offset, 2*offset+hour)
}

func TestTimeNamespaceInUserNamespace(t *testing.T) {
	h := newHost(t)
	equal(t, "offsets", h.runScript("echo $(cat /proc/self/timens_offsets)", userns, timens(60, 120)), "monotonic 60 5 boottime 120 0")
}

func TestTimeNamespaceIsRefused(t *testing.T) {
	h := newHost(t)
	for name, tc := range map[string]struct {
		want string
		edit edit
	}{
		"before the boot": {"linux.timeOffsets: ", timens(0, -1_000_000)},
		"no clock":        {"linux.timeOffsets: \"realtime\"", func(s *specs.Spec) { timens(0, 0)(s); s.Linux.TimeOffsets["realtime"] = specs.LinuxTimeOffset{Secs: 1} }},
		"the host's": {"linux.namespaces[6].path: /proc/self/ns/time is a namespace of the host", func(s *specs.Spec) {
			timens(0, 0)(s)
			s.Linux.TimeOffsets, s.Linux.Namespaces[6].Path = nil, "/proc/self/ns/time"
		}},
		"offsets of another's": {"linux.namespaces[6].path", func(s *specs.Spec) { timens(1, 1)(s); s.Linux.Namespaces[6].Path = "/proc/self/ns/time" }},
	} {
		t.Run(name, func(t *testing.T) {
			h.refused(1, []string{tc.want}, "create", bundle(t, tc.edit))
		})
	}
}
