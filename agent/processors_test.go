package agent

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSwitchOn(t *testing.T) {
	dir := t.TempDir()
	for name, online := range map[string]string{"cpu0": "", "cpu1": "1\n", "cpu2": "0\n", "cpufreq": "0\n", "cpuidle": ""} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if online != "" {
			if err := os.WriteFile(filepath.Join(dir, name, "online"), []byte(online), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n, err := switchOn(dir); n != 3 || err != nil {
		t.Errorf("%d run, %v; want 3", n, err)
	}
	for name, want := range map[string]string{"cpu1": "1\n", "cpu2": "1", "cpufreq": "0\n"} {
		if b, err := os.ReadFile(filepath.Join(dir, name, "online")); string(b) != want {
			t.Errorf("%s: %q, %v; want %q", name, b, err, want)
		}
	}
}
