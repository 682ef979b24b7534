package stage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// things that can be left: each by kind and name, with how many there are.
type things map[string]int

// Grace is for what ends by itself after the program, such as a shim that has yet
// to report.
var Grace = 10 * time.Second

// lookAround fails if there is more on the stage than before.
func lookAround(before things) error {
	deadline := time.Now().Add(Grace)
	for {
		reapDead()
		now, err := inventory()
		if err != nil {
			return err
		}
		var left []string
		for _, name := range slices.Sorted(maps.Keys(now)) {
			if n := now[name] - before[name]; n > 0 {
				left = append(left, fmt.Sprintf("  %s (%d)", name, n))
			}
		}
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("left behind by the program:\n%s", strings.Join(left, "\n"))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func reapDead() {
	for {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// inventory counts processes, mounts, network interfaces, named network
// namespaces and cgroups.
func inventory() (things, error) {
	found := things{}
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	for _, file := range procs {
		if line, err := os.ReadFile(file); err == nil && file != "/proc/1/cmdline" {
			found["process "+string(bytes.TrimSpace(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))]++
		}
	}
	mounts, err := mountPoints()
	if err != nil {
		return nil, err
	}
	for _, m := range mounts {
		found["mount "+m]++
	}
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		found["interface "+l.Name]++
	}
	return found, filepath.WalkDir(cgroupRoot, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			found["cgroup "+path]++
		}
		return nil // one that has just gone is none
	})
}
