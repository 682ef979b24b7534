package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kata/check"
)

// TestEmulation runs containers in a machine whose every instruction is emulated.
// What a sandbox does does not depend on the driver; this shows that the commands
// bring the other one to life, with a kernel of its own and its share.
func TestEmulation(t *testing.T) {
	h := newHost(t)
	h.emulate()
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

// TestEmulatedNetwork: frames go through a tap device, or through the owner, both ways,
// for one processor and for two.
func TestEmulatedNetwork(t *testing.T) {
	for _, tc := range []struct {
		network, cpus string
		tap           bool
	}{{"auto", "1", true}, {"auto", "2", true}, {"relay", "1", false}} {
		t.Run(tc.network+tc.cpus, func(t *testing.T) {
			h, w := newHost(t), newWire(t)
			h.flags = append(h.flags, "--hypervisor", "qemu")
			h.withConfig("hypervisor = \"qemu\"\ndefault_vcpus = " + tc.cpus + "\n" + emulated() + fmt.Sprintf("network = %q\n", tc.network))
			before := w.state()
			id := h.start(w.namespace(), capabilities("CAP_NET_RAW"))
			if now := w.state(); strings.Contains(now, "kata-") != (tc.tap && check.This().Tun() == nil) {
				t.Errorf("the pod's namespace has\n%s", now)
			}
			h.must("exec", id, "ping", "-c", "2", "-W", "10", "10.99.0.1")
			h.must("exec", id, "ping", "-c", "2", "-W", "10", "fd99::1")
			ip(t, "netns", "exec", w.peer, busybox, "ping", "-q", "-c", "2", "-W", "10", "10.99.0.2")
			queues := h.must("exec", id, "sh", "-c", "ls -d /sys/class/net/eth0/queues/tx-* | wc -l")
			if tc.tap && check.This().Tun() == nil {
				equal(t, "queues", strings.TrimSpace(queues), tc.cpus)
			}
			w.transfers(h, id)
			kill(t, h.state(id).Kata.PIDs["proxy"])
			eventually(t, "the namespace is as it was", func() bool { return w.state() == before })
			h.must("delete", "--force", id)
		})
	}
}

// TestEmulatorKilled: the end of QEMU is the end of its containers, and of all the
// rest.
func TestEmulatorKilled(t *testing.T) {
	h := newHost(t)
	h.emulate()
	id := h.start()
	jail := h.state(id).Kata.PIDs["vmm"]
	children := strings.Fields(readFile(t, fmt.Sprintf("/proc/%d/task/%d/children", jail, jail)))
	equal(t, "processes in the jail", len(children), 1)
	pid, err := strconv.Atoi(children[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it stops", func() bool { return h.state(id).Status == "stopped" })
	h.must("delete", id)
}

// TestAutoPrefersNativeSpeed: where no driver has hardware isolation, emulation is
// the last resort.
func TestAutoPrefersNativeSpeed(t *testing.T) {
	h := newHost(t)
	h.flags = append(h.flags, "--hypervisor", "auto")
	v := h.state(h.create(bundle(t)))
	if v.Kata.Isolation == "software" && v.Kata.Hypervisor != "uml" {
		t.Errorf("auto chose %q with %s isolation", v.Kata.Hypervisor, v.Kata.Isolation)
	}
}
