package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Engines join the mount namespace of the process that they are told of, and write
// there as if it were the container's: it must not be the host's.
func TestShimStandsInTheContainersRoot(t *testing.T) {
	h := newHost(t)
	v := h.state(h.start())
	root := fmt.Sprintf("/proc/%d/root", v.PID)
	seen, err := os.Stat(root)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.Stat(filepath.Join(v.Bundle, "rootfs"))
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(seen, want) {
		t.Errorf("%s is not the container's root filesystem", root)
	}
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", v.PID))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(mounts), "\n"); n != 1 {
		t.Errorf("the shim sees %d mounts, want its root alone:\n%s", n, mounts)
	}
}
