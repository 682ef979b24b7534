package compile

import (
	"runtime"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"kata/oci"
)

// TestArchitecture: a filter has the numbers of the guest, not of the host.
func TestArchitecture(t *testing.T) {
	filter := func(arch string) []byte {
		c, err := New("c", bundle(func(s *specs.Spec) {
			s.Annotations = map[string]string{oci.ArchitectureAnnotation: arch}
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow,
				Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdirat"}, Action: specs.ActErrno}}}
		}))
		if err != nil {
			t.Fatal(err)
		}
		return c.Request.Seccomp.Program
	}
	own, amd64, arm64 := filter(""), filter("amd64"), filter("arm64")
	if slices.Equal(amd64, arm64) || !slices.Equal(own, map[string][]byte{"amd64": amd64, "arm64": arm64}[runtime.GOARCH]) {
		t.Errorf("%x, %x, %x", own, amd64, arm64)
	}
	aarch64 := []byte{unix.AUDIT_ARCH_AARCH64 & 0xff, 0, 0, unix.AUDIT_ARCH_AARCH64 >> 24}
	found := false
	for i := range arm64[4:] {
		found = found || slices.Equal(arm64[i:i+4], aarch64)
	}
	if !found {
		t.Errorf("the filter for arm64 does not ask for its system calls: %x", arm64)
	}
}
