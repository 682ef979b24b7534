package e2e

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Which devices a container may use is decided in the guest, by rules that update
// can change.
func TestDeviceRules(t *testing.T) {
	h := newHost(t)
	const read = "head -c 1 /dev/log0 >/dev/null"
	kmsg := func(s *specs.Spec) {
		s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/log0", Type: "c", Major: 1, Minor: 11}}
	}
	id := h.start(kmsg)
	h.must("exec", id, "sh", "-c", "head -c 1 /dev/zero >/dev/null && head -c 1 /dev/urandom >/dev/null && : <>/dev/ptmx && mknod /dev/x c 10 1 2>&1 | grep -q permitted")
	denied := func() {
		t.Helper()
		if r := h.kata("exec", id, "sh", "-c", read); r.code == 0 || !strings.Contains(r.stderr, "Operation not permitted") {
			t.Errorf("a device that no rule allows: %s", r)
		}
	}
	denied()
	update := func(rules string) {
		t.Helper()
		if r := h.kataInput(strings.NewReader(`{"devices": `+rules+`}`), "update", "--resources", "-", id); r.code != 0 {
			t.Fatal(r)
		}
	}
	update(`[{"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"}]`)
	h.must("exec", id, "sh", "-c", read)
	update(`[{"allow": true, "access": "rwm"}, {"allow": false, "type": "c", "major": 1, "minor": 11, "access": "r"}]`)
	denied()
	h.must("update", "--pids-limit", "100", id)
	denied()
	update(`[{"allow": true, "access": "rwm"}]`)
	h.must("exec", id, "sh", "-c", read)

	// Engines give a privileged container one rule, which allows everything.
	h.runScript(read, kmsg, func(s *specs.Spec) {
		s.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	})
}
