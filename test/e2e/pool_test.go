package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// pooled makes the commands of h read a configuration with a pool, and with more of
// QEMU's settings. The function that it returns ends the pool.
func (h *host) pooled(size int, more ...string) (end func()) {
	h.t.Helper()
	file := filepath.Join(h.t.TempDir(), "configuration.toml")
	write := func(size int) {
		writeFile(h.t, file, fmt.Sprintf("hypervisor = \"qemu\"\nboot_timeout = \"1m\"\npool_size = %d\n", size)+emulated()+strings.Join(more, ""))
	}
	write(size)
	h.flags = append(h.flags, "--hypervisor", "qemu", "--config", file)
	return func() {
		h.t.Helper()
		write(0)
		eventually(h.t, "the pool has ended", func() bool {
			_, err := os.Stat(filepath.Join(h.root, "~pool"))
			return os.IsNotExist(err)
		})
	}
}

// ready are the sockets of the machines that wait.
func (h *host) ready() []string {
	sockets, _ := filepath.Glob(filepath.Join(h.root, "~pool", "*", "*.sock"))
	return sockets
}

func (h *host) eventuallyReady(n int) {
	h.t.Helper()
	eventually(h.t, fmt.Sprintf("%d machines wait", n), func() bool { return len(h.ready()) == n })
}

// TestPool: a container gets a machine that waits, another takes its place, and none is
// left when there is to be no pool.
func TestPool(t *testing.T) {
	h := newHost(t)
	end := h.pooled(2)
	first := h.start()
	bootID := func(id string) string { return h.must("exec", id, "cat", "/proc/sys/kernel/random/boot_id") }
	ids := map[string]string{bootID(first): first}
	h.must("delete", "--force", first)
	h.eventuallyReady(2)
	equal(t, "list", h.must("list", "--quiet"), "")
	waiting := descendants()
	shared := t.TempDir()
	writeFile(t, filepath.Join(shared, "in"), "from the host\n")
	id := h.start(mounts(bind(shared, "/mnt")), script("cat /mnt/in >/mnt/out; exec sleep 1000"))
	v := h.state(id)
	if _, there := waiting[v.Kata.PIDs["vmm"]]; !there {
		t.Errorf("the machine %d is not one of those that waited: %v", v.Kata.PIDs["vmm"], waiting)
	}
	eventually(t, "the guest writes to the share", func() bool {
		b, _ := os.ReadFile(filepath.Join(shared, "out"))
		return string(b) == "from the host\n"
	})
	h.eventuallyReady(2) // another has taken its place
	for _, dir := range cgroupsWith(id) {
		b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil || !strings.Contains("\n"+string(b), "\n"+strconv.Itoa(v.Kata.PIDs["vmm"])+"\n") {
			t.Errorf("the machine is not in the cgroup %s: %q, %v", dir, b, err)
		}
	}
	another := h.start()
	for _, id := range []string{id, another} {
		if same := ids[bootID(id)]; same != "" {
			t.Errorf("the machines of %s and %s have the same boot id", id, same)
		}
		ids[bootID(id)] = id
	}
	h.must("delete", "--force", id)
	h.must("delete", "--force", another)
	end()
	h.wantNothing()
}

// TestPoolOfMachinesWithNetwork: the namespace comes with the claim.
func TestPoolOfMachinesWithNetwork(t *testing.T) {
	h, w := newHost(t), newWire(t)
	end := h.pooled(1)
	h.must("delete", "--force", h.start(w.namespace(), capabilities("CAP_NET_RAW")))
	h.eventuallyReady(1)
	waiting := descendants()
	id := h.start(w.namespace(), capabilities("CAP_NET_RAW"))
	if _, there := waiting[h.state(id).Kata.PIDs["vmm"]]; !there {
		t.Error("the machine is not the one that waited")
	}
	h.must("exec", id, "ping", "-c", "2", "-W", "10", "10.99.0.1")
	h.must("delete", "--force", id)
	h.eventuallyReady(1)
	if r := h.template("remove", "--all"); r.code != 0 {
		t.Error(r)
	}
	h.eventuallyReady(0) // what waits belongs to the saved machine
	end()
	h.wantNothing()
}

// TestPoolIsBounded: many starts at once claim what there is, boot the rest, and leave no
// more waiting than there are to be.
func TestPoolIsBounded(t *testing.T) {
	h := newHost(t)
	end := h.pooled(2)
	h.run(0, bundle(t, script("true")))
	h.eventuallyReady(2)
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if r := h.kata("run", "--bundle", bundle(t, script("exit 3")), h.newID()); r.code != 3 || r.stderr != "" {
				t.Errorf("want exit code 3; %s", r)
			}
		})
	}
	all.Wait()
	h.eventuallyReady(2)
	machines := 0
	for _, command := range descendants() {
		if strings.HasPrefix(command, "/qemu ") {
			machines++
		}
	}
	equal(t, "machines", machines, 2)
	// One that is killed is replaced after the next start.
	for pid, command := range descendants() {
		if strings.HasPrefix(command, "/qemu ") {
			kill(t, pid)
		}
	}
	h.eventuallyReady(0)
	h.run(0, bundle(t, script("true")))
	h.eventuallyReady(2)
	end()
	h.wantNothing()
}
