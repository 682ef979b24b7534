package jail

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSetCPUs moves a running jail to one CPU and back.
func TestSetCPUs(t *testing.T) {
	var own unix.CPUSet
	if err := unix.SchedGetaffinity(0, &own); err != nil {
		t.Fatal(err)
	}
	one := 0
	for !own.IsSet(one) {
		one++
	}
	p, _ := start(t, config(t, "sleep"))
	defer p.Kill()
	for _, cpus := range [][]int{{one}, nil} {
		if err := p.SetCPUs(cpus); err != nil {
			t.Fatal(err)
		}
		tids, err := p.threads()
		if err != nil || len(tids) < 2 {
			t.Fatalf("threads: %v, %v", tids, err)
		}
		for _, tid := range tids {
			var set unix.CPUSet
			if err := unix.SchedGetaffinity(tid, &set); err != nil {
				t.Fatal(err)
			}
			if len(cpus) > 0 && (set.Count() != 1 || !set.IsSet(one)) || len(cpus) == 0 && set.Count() < own.Count() {
				comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", tid))
				t.Errorf("%s (%d) has %d CPUs, asked for %v", strings.TrimSpace(string(comm)), tid, set.Count(), cpus)
			}
		}
	}
	if err := p.SetCPUs([]int{1000}); err == nil {
		t.Error("it runs on a CPU that there is not")
	}
}
