package vmtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"kata/oci"
	"kata/sandbox"
	"kata/vm"
)

// ReturnsMemory is for drivers whose guests give back to the host what they free: a
// container uses much memory and ends, and the machine is small again.
func ReturnsMemory(t *testing.T, d vm.Driver, files Files) {
	const used = 100 // MiB
	caps, err := d.Probe(files.Options)
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{driver: d, files: files, caps: caps}
	c := container(t, "user", fmt.Sprintf("set -e; head -c %d /dev/zero >/much/file; echo full; cat", used<<20), func(b *oci.Bundle) {
		b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/much", Type: "tmpfs", Source: "tmpfs"})
	})
	spec := s.spec(t)
	spec.MemoryMiB, spec.Shares = 2*used+64, c.Shares
	sb := s.boot(t, spec)
	before := residentMiB(t, sb)
	stdio := start(t, sb, c)
	defer time.AfterFunc(Patience, sb.Stop).Stop()
	if line, err := bufio.NewReader(stdio[1]).ReadString('\n'); line != "full\n" {
		rest, _ := io.ReadAll(stdio[2])
		t.Fatalf("%q, %v: %s", line, err, rest)
	}
	full := residentMiB(t, sb)
	if full < before+used*3/4 {
		t.Fatalf("the machine has %d MiB; it had %d before the container used %d", full, before, used)
	}
	_ = stdio[0].CloseWrite()
	if status, _, err := sb.Wait("user", ""); status != 0 || err != nil {
		t.Fatalf("status %d, %v", status, err)
	}
	if err := sb.Remove(t.Context(), "user"); err != nil {
		t.Fatal(err)
	}
	var after int
	if !poll(func() bool { after = residentMiB(t, sb); return after < full-used*3/4 }) {
		t.Errorf("the machine has %d MiB; it had %d, and %d before the container used %d", after, full, before, used)
	}
	t.Logf("the machine has %d MiB before the container, %d with it, %d after", before, full, after)
}

// residentMiB is the memory of a machine on the host, shared pages divided (PSS).
func residentMiB(t *testing.T, sb *sandbox.Sandbox) int {
	t.Helper()
	return memoryOf(t, sb)["Pss"] >> 10
}

// memoryOf sums what smaps_rollup of proc(5) says of the processes of a machine, in KiB.
func memoryOf(t *testing.T, sb *sandbox.Sandbox) map[string]int {
	t.Helper()
	total := map[string]int{}
	for _, pid := range append(descendants(t, sb.MachinePID()), sb.MachinePID()) {
		f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // it ended since it was listed
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			name, rest, _ := strings.Cut(lines.Text(), ":")
			var kib int
			if n, _ := fmt.Sscanf(rest, "%d kB", &kib); n == 1 {
				total[name] += kib
			}
		}
		f.Close()
	}
	return total
}
