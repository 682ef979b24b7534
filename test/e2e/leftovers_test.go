package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process is what /proc says of one.
type process struct {
	ppid    int
	state   string
	command string
}

// processes reads all of /proc; kernel threads and the dead have no command.
func processes() map[int]process {
	all := map[int]process{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it has just ended
		}
		f := strings.Fields(string(stat)[strings.LastIndexByte(string(stat), ')')+1:])
		ppid, _ := strconv.Atoi(f[1])
		cmd, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		all[pid] = process{ppid, f[0], strings.TrimSpace(strings.ReplaceAll(string(cmd), "\x00", " "))}
	}
	return all
}

// descendantsOf are the living processes that pid has started and those have
// started, with their commands.
func descendantsOf(root int) map[int]string {
	all := processes()
	found := map[int]string{}
	for pid, p := range all {
		for up := p.ppid; up > 1 && p.state != "Z"; up = all[up].ppid {
			if up == root {
				found[pid] = p.command
				break
			}
		}
	}
	return found
}

// descendants of this process: as it is a subreaper, everything that the commands
// have started, whoever has ended since.
func descendants() map[int]string { return descendantsOf(os.Getpid()) }

// reap collects the dead that no command waits for any more.
func reap() {
	for pid, p := range processes() {
		if p.ppid == os.Getpid() && p.state == "Z" {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
	}
}

// mountsWith returns the host's mounts that name part.
func mountsWith(part string) (found []string) {
	b, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, part) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// cgroupsWith returns the host's cgroups that have part in their names.
func cgroupsWith(part string) (found []string) {
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(d.Name(), part) {
			found = append(found, path)
		}
		return nil // one that has just gone is none
	})
	return found
}

// lateTime is for processes that end by themselves once their sandbox is gone:
// the shims of exec.
const lateTime = 10 * time.Second

// checkNothingLeft fails the test if anything of the containers still exists.
func (h *host) checkNothingLeft() {
	h.t.Helper()
	if c := cgroupsWith(h.prefix); len(c) > 0 {
		h.t.Errorf("cgroups are left: %q", c)
	}
	entries, err := os.ReadDir(h.root)
	if err != nil {
		h.t.Error(err)
	}
	for _, e := range entries {
		if !h.own(e.Name()) {
			h.t.Errorf("%s is left below --root", e.Name())
		}
	}
	for _, part := range []string{h.prefix, h.root + "/"} {
		if m := mountsWith(part); len(m) > 0 {
			h.t.Errorf("mounts are left: %q", m)
		}
	}
	left := descendants()
	for deadline := time.Now().Add(lateTime); len(left) > 0 && time.Now().Before(deadline); left = descendants() {
		time.Sleep(10 * time.Millisecond)
	}
	if len(left) > 0 {
		h.t.Errorf("processes are left: %v", left)
	}
	reap()
}

// wantNothing fails the test now if anything is left, before any cleaning.
func (h *host) wantNothing() {
	h.t.Helper()
	h.checkNothingLeft()
}
