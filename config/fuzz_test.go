package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzParse: no text makes the parser panic, and what it accepts is in range.
func FuzzParse(f *testing.F) {
	if data, err := os.ReadFile(filepath.Join("..", "packaging", "configuration.toml")); err == nil {
		f.Add(data)
	}
	for _, seed := range []string{
		"", "hypervisor = \"uml\"\n[uml]\nmode = \"seccomp\"", "uml.mode = 'ptrace'", "uml = {mode = \"ptrace\"}",
		"default_memory = 0x200\ndefault_vcpus = 1", "boot_timeout = \"1ms\"", "debug = yes", "[uml]\n[uml]", "a.b.c = 1",
		"[[uml]]\nmode = 1", "kernel = '''\n/k'''", "default_memory = 1979-05-27", "\xff\xfe", "kernel = \"\\u0000\"", "debug = [true]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parse("f", data)
		if err != nil {
			if c != nil || err.Error() == "" {
				t.Fatalf("config %v with error %q", c, err)
			}
			return
		}
		if c.DefaultMemory < 96 || c.DefaultVCPUs < 1 || c.DefaultVCPUs > 256 ||
			c.BootTimeout < 100*time.Millisecond || c.BootTimeout > 10*time.Minute ||
			c.MinimumIsolation != IsolationHardware && c.MinimumIsolation != IsolationSoftware ||
			c.UML.Mode != UMLPtrace && c.UML.Mode != UMLSeccomp || c.Hypervisor == "" {
			t.Fatalf("accepted out of range: %+v", c)
		}
	})
}
