package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/jail"
)

// guestFile reads a cgroup file of the container.
func (h *host) guestFile(id, name string) string {
	h.t.Helper()
	return strings.TrimSpace(h.must("exec", id, "cat", "/sys/fs/cgroup/"+name))
}

// hostFile reads a cgroup file of the machine, of version 2 or 1.
func (h *host) hostFile(id, v2, v1 string) string {
	h.t.Helper()
	for _, dir := range jail.CgroupDirs("/" + jail.DefaultParent + "/" + id) {
		for _, name := range []string{v2, v1} {
			if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
				return strings.TrimSpace(string(b))
			}
		}
	}
	h.t.Fatalf("the host has no %s for the machine", v2)
	return ""
}

func TestUpdate(t *testing.T) {
	h := newHost(t)
	id := h.start(resources(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: new(int64(64 << 20))}}))
	h.must("update", "--memory", "48m", "--pids-limit", "77", "--cpu-quota", "50000", "--cpu-period", "20000", "--cpu-share", "512", id)
	equal(t, "memory.max", h.guestFile(id, "memory.max"), fmt.Sprint(48<<20))
	equal(t, "pids.max", h.guestFile(id, "pids.max"), "77")
	equal(t, "cpu.max", h.guestFile(id, "cpu.max"), "50000 20000")
	if q := h.hostFile(id, "cpu.max", "cpu.cfs_quota_us"); q != "50000 20000" && q != "50000" {
		t.Errorf("the host's CPU quota is %s", q)
	}
	if w := h.hostFile(id, "cpu.weight", "cpu.shares"); w != "20" && w != "512" {
		t.Errorf("the host's CPU shares are %s", w)
	}

	// What is not said stays as it was.
	h.must("update", "--cpu-quota", "-1", id)
	equal(t, "cpu.max", h.guestFile(id, "cpu.max"), "max 20000")
	equal(t, "pids.max", h.guestFile(id, "pids.max"), "77")
	if q := h.hostFile(id, "cpu.max", "cpu.cfs_quota_us"); q != "max 20000" && q != "max 100000" && q != "-1" {
		t.Errorf("the host's CPU quota is %s", q)
	}

	r := h.kataInput(strings.NewReader(`{"memory":{"limit":50331648},"pids":{"limit":-1},"unified":{"memory.high":"40000000"}}`), "update", "--resources", "-", id)
	equal(t, "exit code", r.code, 0)
	equal(t, "pids.max", h.guestFile(id, "pids.max"), "max")
	file := filepath.Join(t.TempDir(), "resources.json")
	writeFile(t, file, `{"pids":{"limit":5}}`)
	h.must("update", "-r", file, id)
	equal(t, "pids.max", h.guestFile(id, "pids.max"), "5")

	h.fails(1, []string{"linux.resources.memory.limit", "more than the machine has", "MiB"}, "update", "--memory", "100g", id)
	h.fails(1, []string{"linux.resources.memory.swap"}, "update", "--memory-swap", "1000", id)
	h.fails(1, []string{"linux.resources.cpu.quota"}, "update", "--cpu-quota", "5", id)
	h.fails(1, []string{"linux.resources.blockIO.weight", "scheduler"}, "update", "--blkio-weight", "100", id)
	h.fails(1, []string{"not available"}, "update", "--l3-cache-schema", "x", id)
	h.fails(1, []string{"size"}, "update", "--memory", "much", id)
	equal(t, "memory.max", h.guestFile(id, "memory.max"), fmt.Sprint(48<<20))
	writeFile(t, file, `{"memory":{"limit":4096,"checkBeforeUpdate":true}}`)
	h.fails(1, []string{"linux.resources.memory.limit", "in use"}, "update", "-r", file, id)
	writeFile(t, file, `{"pids":{"limit":"five"}}`)
	h.fails(1, []string{"pids.limit", "JSON string"}, "update", "-r", file, id)
	h.must("kill", id, "KILL")
	h.fails(1, []string{"stopped"}, "update", "--pids-limit", "5", id)
}

func TestEvents(t *testing.T) {
	h := newHost(t)
	id := h.start(resources(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: new(int64(64 << 20))}, Pids: &specs.LinuxPids{Limit: new(int64(40))}}))
	var e struct {
		Type, ID string
		Data     struct {
			CPU    struct{ Usage struct{ Total uint64 } }
			Memory struct {
				Usage struct{ Limit, Usage uint64 }
				Raw   map[string]uint64
			}
			Pids struct{ Current, Limit uint64 }
		}
	}
	// The guest counts time by ticks of 10 ms, and the container's process has hardly run.
	h.must("exec", id, "sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")
	out := h.must("events", "--stats", id)
	decode(t, out, &e)
	if e.Type != "stats" || e.ID != id || e.Data.CPU.Usage.Total == 0 || e.Data.Memory.Usage.Limit != 64<<20 || e.Data.Memory.Usage.Usage == 0 ||
		e.Data.Memory.Raw["anon"] == 0 || e.Data.Pids.Current != 1 || e.Data.Pids.Limit != 40 {
		t.Errorf("stats: %s", out)
	}
	h.fails(1, []string{"interval"}, "events", "--interval", "0s", id)
	h.must("kill", id, "KILL")
	h.fails(1, []string{"stopped"}, "events", "--stats", id)
}

// Events go on until the end of the container, and tell why it ended.
func TestOOMEvent(t *testing.T) {
	h := newHost(t)
	id := h.create(bundle(t, args("sh", "-c", "sleep 1; exec dd if=/dev/zero of=/dev/null bs=48M count=1"),
		resources(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: new(int64(32 << 20))}})))
	c := h.cmd("events", "--interval", "300ms", id)
	out := tempFile(t)
	defer out.Close()
	c.Stdout = out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	h.must("start", id)
	equal(t, "exit code of events", exitCode(t, c.Wait()), 0)
	seen := map[string]int{}
	for line := range strings.Lines(readFile(t, out.Name())) {
		var e struct{ Type, ID string }
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.ID != id {
			t.Errorf("%v: %s", err, line)
		}
		seen[e.Type]++
	}
	if seen["stats"] == 0 || seen["oom"] != 1 {
		t.Errorf("events: %v", seen)
	}
}

// TestUpdateCPUs: a machine that runs goes where its first container may.
func TestUpdateCPUs(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("a host with one CPU")
	}
	h := newHost(t)
	id := h.start(resources(specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0"}}))
	where := func(want string) {
		t.Helper()
		pids := []int{h.state(id).Kata.PIDs["vmm"]}
		for len(pids) > 0 {
			pid := pids[0]
			pids = pids[1:]
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if err != nil {
				continue // of a guest's process that has ended
			}
			for line := range strings.Lines(string(status)) {
				if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
					equal(t, fmt.Sprintf("CPUs of process %d", pid), strings.TrimSpace(list), want)
				}
			}
			children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
			for child := range strings.FieldsSeq(string(children)) {
				n, err := strconv.Atoi(child)
				if err != nil {
					t.Fatal(err)
				}
				pids = append(pids, n)
			}
		}
	}
	where("0")
	h.must("update", "--cpuset-cpus", "1", id)
	where("1")
	h.must("exec", id, "true")
	where("1")
	h.fails(1, []string{"linux.resources.cpu.cpus", "no CPU 4000"}, "update", "--cpuset-cpus", "4000", id)
	second := h.start(sharing(h.state(id).PID, specs.NetworkNamespace))
	h.fails(1, []string{"linux.resources.cpu.cpus", "first container"}, "update", "--cpuset-cpus", "0", second)
	where("1")
}
