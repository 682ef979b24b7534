package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// monitor is the child of the jail's first process; 0 if there is none.
func monitor(v view) int {
	for pid, p := range processes() {
		if vmm := v.Kata.PIDs["vmm"]; vmm > 0 && p.ppid == vmm {
			return pid
		}
	}
	return 0
}

func kill(t *testing.T, pids ...int) {
	t.Helper()
	if len(pids) == 0 {
		t.Fatal("no process to kill")
	}
	for _, pid := range pids {
		mine(t, pid)
		// The end of one may be the end of the next.
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			t.Errorf("kill %d: %v", pid, err)
		}
	}
}

// mine makes sure that a signal goes to one process, and not to this one.
func mine(t *testing.T, pid int) {
	t.Helper()
	if pid <= 1 || pid == os.Getpid() {
		t.Fatalf("%d is no process of a sandbox", pid)
	}
}

// Every process of a sandbox may be killed at any time: the container has then
// stopped, every command says so or works, and delete leaves nothing.
func TestProcessesAreKilled(t *testing.T) {
	for _, tc := range []struct {
		name   string
		victim func(v view) []int
		code   int // of the shim
	}{
		{"monitor", func(v view) []int { return []int{monitor(v)} }, 137},
		{"descendants of the jail", func(v view) (pids []int) {
			for pid := range descendantsOf(v.Kata.PIDs["vmm"]) {
				pids = append(pids, pid)
			}
			return pids
		}, 137},
		{"first process of the jail", func(v view) []int { return []int{v.Kata.PIDs["vmm"]} }, 137},
		{"proxy", func(v view) []int { return []int{v.Kata.PIDs["proxy"]} }, 137},
		{"shim", func(v view) []int { return []int{v.Kata.PIDs["shim"]} }, 137},
		{"proxy and shim", func(v view) []int { return []int{v.Kata.PIDs["proxy"], v.Kata.PIDs["shim"]} }, 137},
		{"all", func(v view) []int { return []int{v.Kata.PIDs["shim"], v.Kata.PIDs["vmm"], v.Kata.PIDs["proxy"]} }, 137},
	} {
		for _, started := range []bool{true, false} {
			name := tc.name + " of a created container"
			if started {
				name = tc.name + " of a running container"
			}
			t.Run(name, func(t *testing.T) {
				h := newHost(t)
				id := h.create(bundle(t))
				if started {
					h.must("start", id)
				}
				v := h.state(id)
				kill(t, tc.victim(v)...)
				equal(t, "exit code of the shim", waitPID(t, v.PID), tc.code)
				h.eventuallyStatus(id, "stopped")
				equal(t, "pid", h.state(id).PID, 0)
				h.fails(255, nil, "exec", id, "true")
				h.fails(1, []string{"not running"}, "kill", id, "KILL")
				h.fails(1, nil, "start", id)
				equal(t, "ps", strings.Count(h.must("ps", id), "\n"), 1)
				contains(t, "list", h.must("list"), id, "stopped")
				h.must("delete", "--force", id)
				h.wantNothing()
			})
		}
	}
}

// A container that was lost can be deleted without force, as any that has stopped.
func TestDeleteAfterTheProxyWasKilled(t *testing.T) {
	h := newHost(t)
	id := h.start()
	v := h.state(id)
	kill(t, v.Kata.PIDs["proxy"])
	waitPID(t, v.PID)
	h.must("delete", id)
	h.wantNothing()
}

// A proxy that hangs is as bad as one that was killed: delete does not wait for it.
func TestDeleteWhileTheProxyIsStuck(t *testing.T) {
	h := newHost(t)
	id := h.start()
	pid := h.state(id).Kata.PIDs["proxy"]
	mine(t, pid)
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	h.must("delete", "--force", id)
	h.wantNothing()
}

// A guest that does not answer has a state, and can be deleted.
func TestStuckMachine(t *testing.T) {
	h := newHost(t)
	id := h.start()
	pid := monitor(h.state(id))
	mine(t, pid)
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	h.wantStatus(id, "running")
	contains(t, "list", h.must("list"), id, "running")
	h.must("delete", "--force", id)
	h.wantNothing()
}

func TestForegroundRunLosesItsMachine(t *testing.T) {
	h := newHost(t)
	id := h.newID()
	c := h.cmd("run", "--bundle", bundle(t), id)
	errs := tempFile(t)
	c.Stderr = errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	h.eventuallyRunning(id)
	kill(t, h.state(id).Kata.PIDs["vmm"])
	equal(t, "exit code", exitCode(t, c.Wait()), 137)
	r := result{stderr: readFile(t, errs.Name()), code: 137}
	h.wantOneLine(r)
	contains(t, "stderr", r.stderr, "virtual machine")
	h.wantNothing()
}

func (h *host) eventuallyRunning(id string) {
	h.t.Helper()
	eventually(h.t, id+" runs", func() bool {
		r := h.kata("state", id) // an error until it exists
		var v view
		if r.code != 0 {
			return false
		}
		decode(h.t, r.stdout, &v)
		return v.Status == "running"
	})
}

func TestForegroundRunIsKilled(t *testing.T) {
	h := newHost(t)
	id := h.newID()
	c := h.cmd("run", "--bundle", bundle(t), id)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	h.eventuallyRunning(id)
	kill(t, c.Process.Pid)
	_ = c.Wait()
	h.eventuallyStatus(id, "stopped")
	h.must("delete", "--force", id)
	h.wantNothing()
}

// Whenever create is killed, delete --force finds everything.
func TestCreateIsKilled(t *testing.T) {
	h := newHost(t)
	dir := bundle(t)
	for after := time.Duration(0); after < 200*time.Millisecond; after += 20 * time.Millisecond {
		id := h.newID()
		c := h.cmd("create", "--bundle", dir, id)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "there is a directory", func() bool {
			_, err := os.Stat(filepath.Join(h.root, id))
			return err == nil
		})
		time.Sleep(after) // any moment will do
		_ = c.Process.Kill()
		_ = c.Wait()
		h.must("delete", "--force", id)
		h.wantNothing()
	}
}

// The record of a container is damaged: delete --force works all the same.
func TestDamagedState(t *testing.T) {
	h := newHost(t)
	id := h.start()
	pid := h.state(id).PID
	writeFile(t, filepath.Join(h.root, id, "state.json"), "{")
	h.fails(1, []string{"damaged"}, "state", id)
	h.fails(1, []string{"damaged"}, "delete", id)
	h.must("delete", "--force", id)
	equal(t, "exit code of the shim", waitPID(t, pid), 137)
	h.wantNothing()
}

func TestDiskFullUnderTheStateDirectory(t *testing.T) {
	for _, tc := range []struct {
		name, options string
		fill          bool
	}{{"no space", "size=64k", true}, {"no inodes", "nr_inodes=2", false}} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHost(t)
			base := h.root
			h.root = filepath.Join(base, "full")
			h.flags = []string{"--root", h.root, "--isolation", "software"}
			if err := os.Mkdir(h.root, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("full", h.root, "tmpfs", 0, tc.options); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := unix.Unmount(h.root, 0); err != nil {
					t.Error(err)
				}
				if err := os.Remove(h.root); err != nil {
					t.Error(err)
				}
				h.root = base
			})
			h.own = func(name string) bool { return name == "filler" }
			// Until even one byte more is refused; with too few inodes it has one of two.
			f, err := os.Create(filepath.Join(h.root, "filler"))
			if err != nil {
				t.Fatal(err)
			}
			for err == nil && tc.fill {
				_, err = f.Write(make([]byte, 4096))
			}
			f.Close()
			for _, verb := range []string{"create", "run"} {
				h.refused(1, []string{"no space left on device"}, verb, bundle(t))
			}
		})
	}
}
