package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// eachMachine runs a test with the machines of every driver, which must not differ in
// how they fail.
func eachMachine(t *testing.T, f func(t *testing.T, h *host)) {
	t.Helper()
	t.Run("uml", func(t *testing.T) {
		h := newHost(t)
		h.flags = append(h.flags, "--hypervisor", "uml")
		f(t, h)
	})
	t.Run("qemu", func(t *testing.T) {
		h := newHost(t)
		h.emulate()
		f(t, h)
	})
}

// foreground starts a container that sleeps, and waits until it runs. The function
// that it returns waits for its end.
func (h *host) foreground(edits ...edit) (id string, end func() result) {
	h.t.Helper()
	id = h.newID()
	c := h.cmd("run", "--bundle", bundle(h.t, edits...), id)
	errs := tempFile(h.t)
	c.Stderr = errs
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.eventuallyRunning(id)
	return id, func() result {
		code := exitCode(h.t, c.Wait())
		return result{args: []string{"run", id}, stderr: readFile(h.t, errs.Name()), code: code}
	}
}

// lost checks what is said of a container that ended with its machine.
func (h *host) lost(r result, why ...string) {
	h.t.Helper()
	equal(h.t, "exit code", r.code, 137)
	h.wantOneLine(r)
	contains(h.t, "error", r.stderr, append([]string{"the virtual machine ended"}, why...)...)
	h.wantNothing()
}

// TestMonitorKilled: the error says what became of the machine.
func TestMonitorKilled(t *testing.T) {
	eachMachine(t, func(t *testing.T, h *host) {
		id, end := h.foreground()
		kill(t, monitor(h.state(id)))
		h.lost(end(), "killed by signal 9")
	})
}

// memoryLimit sets the memory limit of a container's host cgroup to what is in use and
// some more.
func memoryLimit(t *testing.T, id string, more int) {
	t.Helper()
	for _, dir := range cgroupsWith(id) {
		for used, limit := range map[string]string{"memory.usage_in_bytes": "memory.limit_in_bytes", "memory.current": "memory.max"} {
			b, err := os.ReadFile(filepath.Join(dir, used))
			if err != nil {
				continue
			}
			n, err := strconv.Atoi(strings.TrimSpace(string(b)))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, limit), []byte(strconv.Itoa(n+more)), 0); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no host cgroup of %s limits memory: %q", id, cgroupsWith(id))
}

// TestHostOutOfMemory: the guest takes more than the host's cgroup has left.
func TestHostOutOfMemory(t *testing.T) {
	eachMachine(t, func(t *testing.T, h *host) {
		id, end := h.foreground()
		memoryLimit(t, id, 16<<20)
		r := h.kata("exec", id, "dd", "if=/dev/zero", "of=/dev/shm/much", "bs=1M", "count=60")
		equal(t, "exit code of exec", r.code, 137)
		h.lost(end(), "out of memory on the host", "limit of its cgroup")
	})
}

// TestStuckMachines: one that does not run at all has a state, and is deleted in
// time.
func TestStuckMachines(t *testing.T) {
	const deadline = 30 * time.Second // the sum of what delete allows for, and more than it should ever take
	eachMachine(t, func(t *testing.T, h *host) {
		id := h.start()
		stop(t, monitor(h.state(id)))
		begin := time.Now()
		h.wantStatus(id, "running")
		contains(t, "list", h.must("list"), id, "running")
		h.must("delete", "--force", id)
		if took := time.Since(begin); took > deadline {
			t.Errorf("it took %v", took)
		}
		h.wantNothing()
	})
}

func stop(t *testing.T, pid int) {
	t.Helper()
	mine(t, pid)
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

// TestStuckMachineIsGivenUp: commands that need the guest fail when their time is up,
// all at once, and say why.
func TestStuckMachineIsGivenUp(t *testing.T) {
	if chosen == "" {
		t.Skip("KATA_TEST_HYPERVISOR is not set: make test-emulation waits the 30 s that this takes")
	}
	h := newHost(t)
	id := h.start()
	stop(t, monitor(h.state(id)))
	done := make(chan result)
	commands := [][]string{{"exec", id, "true"}, {"ps", id}, {"kill", id, "TERM"}, {"pause", id}}
	begin := time.Now()
	for _, args := range commands {
		go func() { done <- h.kata(args...) }()
	}
	for range commands {
		r := <-done
		equal(t, "exit code", r.code, usual(r.args[0]))
		h.wantOneLine(r)
		contains(t, "error", r.stderr, "no answer")
	}
	if took := time.Since(begin); took > 45*time.Second {
		t.Errorf("it took %v; the agent has 30 s to answer", took)
	}
	h.must("delete", "--force", id)
	h.wantNothing()
}

// TestWrongKernel: one of another architecture, of 32 bits, or for another machine.
func TestWrongKernel(t *testing.T) {
	small := make([]byte, 52) // a header
	copy(small, "\x7fELF\x01\x01\x01")
	small[16], small[18], small[20], small[40], small[46] = 2, 3, 1, 52, 40 // ET_EXEC, EM_386, version, sizes of headers
	narrow := filepath.Join(t.TempDir(), "linux-i386")
	writeFile(t, narrow, string(small))
	arm := []byte(readFile(t, kernelFile()))
	arm[18] = 183 // EM_AARCH64
	foreign := filepath.Join(t.TempDir(), "linux-arm64")
	writeFile(t, foreign, string(arm))
	for _, tc := range []struct {
		name, driver, kernel string
		want                 []string
	}{
		{"uml/another architecture", "uml", foreign, []string{"machine failed at the prepare", foreign, "is not a user-mode kernel for amd64"}},
		{"qemu/another architecture", "qemu", foreign, []string{"machine failed at the prepare", foreign, "EM_AARCH64"}},
		{"uml/32 bits", "uml", narrow, []string{"machine failed at the prepare", narrow, "is not a user-mode kernel for amd64"}},
		{"qemu/32 bits", "qemu", narrow, []string{"machine failed at the prepare", narrow, "EM_386"}},
		{"uml/another machine's", "uml", filepath.Join(guestDir, "linux-x86_64"), []string{"machine failed at the boot of the kernel"}},
		{"qemu/another machine's", "qemu", filepath.Join(guestDir, "linux-uml"), []string{"machine failed at the", "PVH"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHost(t)
			h.withConfig(fmt.Sprintf("hypervisor = %q\nkernel = %q\nboot_timeout = \"2m\"\n", tc.driver, tc.kernel) + emulated())
			h.flags = append(h.flags, "--hypervisor", tc.driver)
			r := h.fails(1, tc.want, "run", "--bundle", bundle(t), h.newID())
			if strings.Contains(r.stderr, "timed out") {
				t.Errorf("it took until the timeout; %s", r)
			}
			h.wantNothing()
		})
	}
}

// TestConsoleFlood: a guest that prints without end disturbs nobody, and the host keeps
// only the end of it.
func TestConsoleFlood(t *testing.T) {
	printer := func(s *specs.Spec) {
		s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/printer", Type: "c", Major: 1, Minor: 11}} // /dev/kmsg
		s.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}}
		s.Linux.ReadonlyPaths = nil
	}
	flood := "echo on >/proc/sys/kernel/printk_devkmsg; yes '<0>" + strings.Repeat("flood ", 30) + "' >/dev/printer"
	eachMachine(t, func(t *testing.T, h *host) {
		id := h.start(printer, script(flood))
		v := h.state(id)
		for range 3 {
			equal(t, "exec", h.must("exec", id, "echo", "well"), "well\n")
		}
		h.wantStatus(id, "running")
		status := readFile(t, fmt.Sprintf("/proc/%d/status", v.Kata.PIDs["proxy"]))
		_, peak, _ := strings.Cut(status, "VmHWM:")
		var kib int
		if _, err := fmt.Sscan(peak, &kib); err != nil || kib > 64<<10 {
			t.Errorf("the proxy had %d KiB in memory, %v", kib, err)
		}
		h.must("delete", "--force", id)
		h.wantNothing()
	})
}

// TestHostileAgents: the guest's first process talks nonsense on the channel, or
// greets as it should and then floods. The start fails at once, and says so.
func TestHostileAgents(t *testing.T) {
	agent := filepath.Join(t.TempDir(), "agent")
	for _, tc := range []struct {
		mode string
		want []string
	}{
		{"noise", []string{"machine failed at the boot of the kernel", "which is not this protocol"}},
		{"greeting and noise", []string{"machine failed at the start of the agent", "its channel broke"}},
		{"greeting and streams", []string{"machine failed at the start of the agent", "its channel broke", "too many"}},
		{"console", []string{"machine failed at the boot of the kernel", "timed out"}},
	} {
		t.Run(tc.mode, func(t *testing.T) {
			build := exec.Command("go", "build", "-trimpath", "-ldflags", "-X 'main.mode="+tc.mode+"'", "-o", agent, "./hostile")
			build.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			timeout := "2m"
			if tc.mode == "console" {
				timeout = "2s" // six times that with emulation
			}
			eachMachine(t, func(t *testing.T, h *host) {
				h.withConfig(fmt.Sprintf("agent = %q\nboot_timeout = %q\nhypervisor = \"auto\"\n", agent, timeout) + emulated())
				r := h.fails(1, tc.want, "run", "--bundle", bundle(t), h.newID())
				if len(r.stderr) > 4096 {
					t.Errorf("the error has %d bytes", len(r.stderr))
				}
				h.wantNothing()
			})
		})
	}
}
