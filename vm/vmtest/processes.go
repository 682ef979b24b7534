package vmtest

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kata/sandbox"
	"kata/sandbox/state"
)

func drain(w io.Writer, st *sandbox.Stream) error {
	_, err := io.Copy(w, struct{ io.Reader }{st})
	return err
}

// descendants are the host processes that come from pid, zombies included.
func descendants(t *testing.T, pid int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	children := map[int][]int{}
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // ended
		}
		var self, parent int
		var status string
		if _, err := fmt.Sscan(string(b), &self); err != nil {
			continue
		}
		if _, err := fmt.Sscan(string(b[strings.LastIndexByte(string(b), ')')+1:]), &status, &parent); err != nil {
			continue
		}
		children[parent] = append(children[parent], self)
	}
	all := children[pid]
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// Beside are the processes that serve the monitor of the only machine, the daemons'
// jails first: what this process has started and is not the monitor's.
func Beside(t *testing.T, sb *sandbox.Sandbox) []int {
	t.Helper()
	monitor := append(descendants(t, sb.MachinePID()), sb.MachinePID())
	return slices.DeleteFunc(descendants(t, os.Getpid()), func(pid int) bool { return slices.Contains(monitor, pid) })
}

// identify names processes for good.
func identify(pids []int) []state.Process {
	var all []state.Process
	for _, pid := range pids {
		if p := state.Identify(pid); p.PID != 0 {
			all = append(all, p)
		}
	}
	return all
}

// poll waits until f is true.
func poll(f func() bool) bool {
	for deadline := time.Now().Add(Patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if f() {
			return true
		}
	}
	return false
}

func noDescendants(t *testing.T, pid int) {
	t.Helper()
	if !poll(func() bool { return len(descendants(t, pid)) == 0 }) {
		t.Errorf("processes are left: %v", descendants(t, pid))
	}
}
