package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEmulation runs containers in a machine whose every instruction is emulated.
// What a sandbox does does not depend on the driver; this shows that the commands
// bring the other one to life, with a kernel of its own and its share.
func TestEmulation(t *testing.T) {
	h := newHost(t)
	h.flags = append(h.flags, "--hypervisor", "qemu")
	h.withConfig("[qemu]\naccelerator = \"tcg\"\n")
	dir := bundle(t, script("uname -v; echo from the guest >/new; chmod 640 /new; exec sleep 1000"))
	id := h.create(dir)
	h.must("start", id)
	v := h.state(id)
	equal(t, "hypervisor", v.Kata.Hypervisor, "qemu")
	equal(t, "isolation", v.Kata.Isolation, "software")
	file := filepath.Join(dir, "rootfs", "new")
	eventually(t, "the guest writes to the share", func() bool {
		fi, err := os.Stat(file)
		return err == nil && fi.Mode() == 0o640
	})
	equal(t, "file", readFile(t, file), "from the guest\n")
	equal(t, "exec", h.must("exec", id, "cat", "/new"), "from the guest\n")
	if r := h.kata("exec", id, "sh", "-c", "exit 7"); r.code != 7 {
		t.Errorf("want exit code 7; %s", r)
	}
	h.must("kill", id, "KILL")
	eventually(t, "it stops", func() bool { return h.state(id).Status == "stopped" })
	h.must("delete", id)

	if r := h.run(3, bundle(t, script("uname -v; exit 3"))); !strings.Contains(r.stdout, "SMP PREEMPT") {
		t.Errorf("want the kernel of the emulated machine; %s", r)
	}
}

// TestAutoPrefersNativeSpeed: where no driver has hardware isolation, emulation is
// the last resort.
func TestAutoPrefersNativeSpeed(t *testing.T) {
	h := newHost(t)
	v := h.state(h.create(bundle(t)))
	if v.Kata.Isolation == "software" && v.Kata.Hypervisor != "uml" {
		t.Errorf("auto chose %q with %s isolation", v.Kata.Hypervisor, v.Kata.Isolation)
	}
}
