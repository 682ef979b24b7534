package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Fifty sandboxes are started at once, all run, and all are gone after delete. With
// emulation there are as many as the host's processors boot in half of the time that
// a command has: each boot keeps one busy for some two seconds.
func TestFiftyAtOnce(t *testing.T) {
	n := 50
	if chosen == "qemu" {
		n = min(n, runtime.NumCPU()*int(patience/(2*emulatedBoot)))
		t.Logf("%d emulated machines", n)
	}
	h := newHost(t)
	dir := bundle(t)
	ids := make([]string, n)
	each := func(f func(id string)) {
		var wg sync.WaitGroup
		for _, id := range ids {
			wg.Go(func() { f(id) })
		}
		wg.Wait()
	}
	succeed := func(args ...string) string {
		r := h.kata(args...)
		if r.code != 0 || r.stderr != "" {
			t.Errorf("want success; %s", r)
		}
		return r.stdout
	}
	for i := range ids {
		ids[i] = h.newID()
	}
	each(func(id string) { succeed("run", "--detach", "--bundle", dir, id) })
	var all []view
	decode(t, h.must("list", "--format", "json"), &all)
	running := 0
	for _, v := range all {
		if v.Status == "running" {
			running++
		}
	}
	equal(t, "running sandboxes", running, n)
	for _, id := range ids[:3] {
		equal(t, "exec", succeed("exec", id, "echo", id), id+"\n")
	}
	each(func(id string) { succeed("delete", "--force", id) })
	equal(t, "list", h.must("list", "--quiet"), "")
	h.wantNothing()
}

// snapshot is what there is on a host that the containers of h could have left behind.
func (h *host) snapshot() map[string][]string {
	t := h.t
	t.Helper()
	lines := func(file string) []string { return strings.Split(readFile(t, file), "\n") }
	names := func(dir string) (list []string) {
		entries, _ := os.ReadDir(dir) // one that is missing is empty
		for _, e := range entries {
			list = append(list, e.Name())
		}
		return list
	}
	s := map[string][]string{"mount": lines("/proc/self/mounts"), "network device": names("/sys/class/net"),
		"file in /run": names("/run"), "file in /dev/shm": names("/dev/shm"), "link in /run/netns": names("/run/netns")}
	for _, line := range lines("/proc/net/unix") {
		if i := strings.IndexByte(line, '/'); i >= 0 {
			s["socket"] = append(s["socket"], line[i:])
		}
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		others := strings.Contains(path, "/kata/") && !strings.Contains(path, h.prefix)
		if err == nil && d.IsDir() && !others {
			s["cgroup"] = append(s["cgroup"], path)
		}
		return nil
	})
	for _, command := range descendants() {
		s["process"] = append(s["process"], command)
	}
	return s
}

// emulatedBoot is the processor time of an emulated machine's boot.
const emulatedBoot = 2 * time.Second

// Two hundred containers leave no process, mount, cgroup, network device, socket or
// file. With emulation there are twenty: what stays behind would be the same.
func TestTwoHundredCycles(t *testing.T) {
	cycles := 200
	if testing.Short() || chosen == "qemu" {
		cycles = 20
	}
	h := newHost(t)
	dir := bundle(t, script("echo hello; exit 3"))
	h.run(3, dir) // the first may make what all share
	before := h.snapshot()
	var wg sync.WaitGroup
	work := make(chan int)
	for range 2 {
		wg.Go(func() {
			for i := range work {
				id := h.newID()
				if i%2 == 0 {
					if r := h.kata("run", "--bundle", dir, id); r.code != 3 || r.stdout != "hello\n" || r.stderr != "" {
						t.Errorf("cycle %d: %s", i, r)
					}
					continue
				}
				for _, line := range [][]string{{"create", "--bundle", dir, id}, {"start", id}, {"delete", "--force", id}} {
					if r := h.kata(line...); r.code != 0 {
						t.Errorf("cycle %d: %s", i, r)
					}
				}
			}
		})
	}
	for i := range cycles {
		work <- i
	}
	close(work)
	wg.Wait()
	h.wantNothing()
	after := h.snapshot()
	for kind, list := range after {
		for _, thing := range list {
			if !slices.Contains(before[kind], thing) {
				t.Errorf("%s is left: %s", kind, thing)
			}
		}
	}
	if n, was := len(after["socket"]), len(before["socket"]); n > was { // others may close theirs
		t.Errorf("%d sockets are left, there were %d", n, was)
	}
}
