package qemu

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A static QEMU needs nothing but its firmware: no libraries, and no modules that happen
// to be on the host.
func TestStaticQEMU(t *testing.T) {
	static, err := os.ReadFile("/proc/self/exe") // tests are built without cgo
	if err != nil {
		t.Fatal(err)
	}
	altered(t, func([]byte) []byte { return static })
	modules := t.TempDir()
	if err := os.WriteFile(filepath.Join(modules, host.module(tcg)+".so"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	saved := moduleDirs
	moduleDirs = []string{modules}
	t.Cleanup(func() { moduleDirs = saved })
	binary, err := host.findBinary()
	if err != nil {
		t.Fatal(err)
	}
	files, err := host.consistsOf(binary, tcg)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Place != binaryPath && !strings.HasPrefix(f.Place, firmwarePath) {
			t.Errorf("%+v", f)
		}
	}
}
