package e2e

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/network"
	"kata/test/loop"
)

// q35 makes the machines of h such as can be added to while they run.
func (h *host) q35() {
	h.t.Helper()
	h.flags = append(h.flags, "--hypervisor", "qemu")
	h.withConfig("hypervisor = \"qemu\"\n" + emulated() + "machine = \"q35\"\n")
}

func limitedTo(mib int64) edit {
	return resources(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: new(mib << 20)}})
}

// totalMiB is the memory of a container's machine, as the guest sees it.
func (h *host) totalMiB(id string) int {
	h.t.Helper()
	var kib int
	if _, err := fmt.Sscanf(h.must("exec", id, "grep", "MemTotal", "/proc/meminfo"), "MemTotal: %d kB", &kib); err != nil {
		h.t.Fatal(err)
	}
	return kib >> 10
}

// hostMemory is the limit of a sandbox on the host, in MiB.
func (h *host) hostMemory(id string) int {
	h.t.Helper()
	bytes, err := strconv.Atoi(strings.TrimSpace(h.hostFile(id, "memory.max", "memory.limit_in_bytes")))
	if err != nil {
		h.t.Fatal(err)
	}
	return bytes >> 20
}

// TestMachineGrows: a machine is as large as its containers' limits ask for, whenever
// they do.
func TestMachineGrows(t *testing.T) {
	h := newHost(t)
	h.q35()
	id := h.start(limitedTo(64), mounts(tmpfs("/much", "size=400m")))
	first, limit := h.totalMiB(id), h.hostMemory(id)
	if first > 128 {
		t.Fatalf("the machine has %d MiB", first)
	}
	h.must("update", "--memory", "300m", id)
	if n := h.totalMiB(id); n < 300 {
		t.Errorf("%d MiB for a container that may use 300", n)
	}
	equal(t, "memory.max", h.guestFile(id, "memory.max"), fmt.Sprint(300<<20))
	h.must("exec", id, "sh", "-c", "dd if=/dev/zero of=/much/file bs=1M count=200 2>/dev/null && rm /much/file")
	if n := h.hostMemory(id); n < limit+200 {
		t.Errorf("the host allows %d MiB, it was %d", n, limit)
	}
	equal(t, "processors", h.must("exec", id, "nproc"), "1\n")
	h.must("update", "--cpu-quota", "200000", "--cpu-period", "100000", id)
	equal(t, "processors", h.must("exec", id, "nproc"), fmt.Sprintln(min(2, runtime.NumCPU())))
	second := h.start(limitedTo(200), sharing(h.state(id).PID, allShared...))
	if n := h.totalMiB(id); n < 500 {
		t.Errorf("%d MiB for two containers that may use 300 and 200", n)
	}
	h.must("delete", "--force", second)
	h.must("update", "--memory", "64m", id)
	eventually(t, "the machine is small again", func() bool { return h.totalMiB(id) < first+64 })
	eventually(t, "the host allows less", func() bool { return h.hostMemory(id) < limit+64 })
	h.fails(1, []string{"linux.resources.memory.limit", "at most", "MiB"}, "update", "--memory", "100000g", id)
	equal(t, "memory.max", h.guestFile(id, "memory.max"), fmt.Sprint(64<<20))
}

// TestDiskJoins: a container that comes later has disks of its own, and takes them
// with it.
func TestDiskJoins(t *testing.T) {
	h, d, other := newHost(t), loop.New(t, 1<<20), loop.New(t, 1<<20)
	h.q35()
	first := h.start(disk(other, "/dev/mine", "rw"))
	for range 2 {
		second := h.start(disk(d, "/dev/xvda", "rw"), sharing(h.state(first).PID, allShared...))
		h.must("exec", second, "sh", "-c", "printf text >/dev/xvda")
		h.must("exec", first, "sh", "-c", "printf more >/dev/mine; test ! -e /dev/xvda")
		h.must("delete", "--force", second)
		equal(t, "disk", head(t, d), "text")
		equal(t, "disks of the guest", h.must("exec", first, "sh", "-c", "cat /sys/block/vd*/serial"), "kata0")
		writeDisk(t, d, "next")
	}
	h.must("delete", "--force", first)
	equal(t, "disk of the first", head(t, other), "more")
}

func writeDisk(t *testing.T, d *loop.Device, text string) {
	t.Helper()
	f, err := os.OpenFile(d.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// TestInterfacesCome: more than the machine was started with devices for.
func TestInterfacesCome(t *testing.T) {
	h, w := newHost(t), newWire(t)
	h.q35()
	before := w.state()
	id := h.start(w.namespace(), capabilities("CAP_NET_RAW"))
	const last = network.Spares + 2
	for n := 1; n <= last; n++ {
		w.link(fmt.Sprintf("eth%d", n), n)
	}
	h.must("exec", id, "sh", "-c", fmt.Sprintf("until ip addr show eth%d 2>/dev/null | grep -q 10.%d.0.2; do sleep 0.1; done", last, 99+last))
	h.must("exec", id, "ping", "-c", "1", "-W", "5", "10.99.0.1")
	h.must("exec", id, "ping", "-c", "1", "-W", "5", fmt.Sprintf("10.%d.0.1", 99+last))
	h.must("delete", "--force", id)
	for n := 1; n <= last; n++ {
		ip(t, "-n", w.pod, "link", "del", fmt.Sprintf("eth%d", n))
	}
	equal(t, "namespace afterwards", w.state(), before)
}
