package vmtest

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/jail"
	"kata/oci"
	"kata/sandbox"
)

// hotMemory makes a machine larger for a container that needs it, and smaller again.
func (s *suite) hotMemory(t *testing.T) {
	sb := s.boot(t, s.spec(t))
	defer time.AfterFunc(Patience, sb.Stop).Stop()
	first, changes := sb.MemoryKiB()
	if changes != s.caps.HotMemory || first == 0 {
		t.Fatalf("%d KiB, and that can change: %v; the capability is declared: %v", first, changes, s.caps.HotMemory)
	}
	const used = 2 * memoryMiB
	fit := func(d *sandbox.Demand) (kib uint64) {
		t.Helper()
		if err := sb.Fit(t.Context(), "user", d); err != nil {
			t.Fatal(err)
		}
		kib, _ = sb.MemoryKiB()
		return kib
	}
	grown := fit(&sandbox.Demand{MemoryMiB: used})
	if !s.caps.HotMemory {
		if grown != first {
			t.Errorf("%d KiB, it was %d, and the capability is not declared", grown, first)
		}
		return
	}
	if grown < used<<10 {
		t.Errorf("%d KiB, asked for %d MiB and what the guest needs", grown, used)
	}
	c := container(t, "user", fmt.Sprintf("set -e; /bin/busybox dd if=/dev/zero of=/much/file bs=1M count=%d 2>/dev/null; echo full; cat", used), func(b *oci.Bundle) {
		b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/much", Type: "tmpfs", Source: "tmpfs", Options: []string{"size=100%"}})
	})
	stdio, err := sb.Join(t.Context(), &c.Request, c.Shares)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stdio.Close)
	if err := sb.Start(t.Context(), "user"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdio[1]).ReadString('\n'); line != "full\n" {
		rest, _ := io.ReadAll(stdio[2])
		t.Fatalf("%q, %v: %s", line, err, rest)
	}
	if kept := fit(nil); kept < used<<10 {
		t.Errorf("%d KiB are left of the machine, and %d MiB are in use", kept, used)
	}
	_ = stdio[0].CloseWrite()
	if status, _, err := sb.Wait("user", ""); status != 0 || err != nil {
		t.Errorf("status %d, %v", status, err)
	}
	if err := sb.Remove(t.Context(), "user"); err != nil {
		t.Error(err)
	}
	// The kernel frees the container's memory some time after it has ended.
	small := func() bool { kib, _ := sb.MemoryKiB(); return kib < first+(used<<10)/4 }
	if !poll(small) {
		last, _ := sb.MemoryKiB()
		t.Errorf("%d KiB at last, the machine began with %d and had %d", last, first, grown)
	}
	if err := sb.Fit(t.Context(), "user", &sandbox.Demand{MemoryMiB: 1 << 30}); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a machine of a petabyte: %v", err)
	}
	if again := fit(&sandbox.Demand{MemoryMiB: used}); again < used<<10 {
		t.Errorf("%d KiB the second time", again)
	}
}

// hotCPUs gives a machine another processor, and a container that runs already.
func (s *suite) hotCPUs(t *testing.T) {
	sb := s.boot(t, s.spec(t))
	defer time.AfterFunc(Patience, sb.Stop).Stop()
	c := container(t, "cpus", "while read x; do nproc; done", nil)
	stdio, err := sb.Join(t.Context(), &c.Request, c.Shares)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stdio.Close)
	if err := sb.Start(t.Context(), "cpus"); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdio[1])
	count := func() string {
		if _, err := stdio[0].Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(line)
	}
	if n := count(); n != "1" {
		t.Fatalf("%s processors, want 1", n)
	}
	want := "1"
	if s.caps.HotCPUs && s.caps.MaxVCPUs > 1 {
		want = "2"
	}
	for range 2 { // once there, it is not asked for again
		if err := sb.Fit(t.Context(), "cpus", &sandbox.Demand{Host: jail.Limits{CPUQuota: 150000, CPUPeriod: jail.DefaultCPUPeriod}}); err != nil {
			t.Fatal(err)
		}
		if !poll(func() bool { return count() == want }) {
			t.Errorf("%s processors, want %s", count(), want)
		}
	}
}
