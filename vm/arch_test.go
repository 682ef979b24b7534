package vm

import (
	"runtime"
	"strings"
	"testing"
)

// emulator is a driver that has machines of one more architecture.
type emulator struct {
	fake
	arch string
}

func (e emulator) ProbeArch(arch string, _ map[string]string) (Capabilities, error) {
	if arch != e.arch {
		return Capabilities{}, &Unavailable{Driver: e.name, Cause: "no machine for " + arch}
	}
	return Capabilities{Isolation: Software, MaxVCPUs: 1}, nil
}

func TestChooseArchitecture(t *testing.T) {
	saved := registry
	defer func() { registry = saved }()
	registry = []Driver{fake{name: "hard", isolation: Hardware}, emulator{fake{name: "all", isolation: Software}, "m68k"}}
	for _, tt := range []struct {
		name, arch string
		minimum    Isolation
		want, err  string
	}{
		{Auto, "", Software, "hard", ""},
		{Auto, runtime.GOARCH, Software, "hard", ""},
		{Auto, "m68k", Software, "all", ""},
		{"all", "m68k", Software, "all", ""},
		{"hard", "m68k", Software, "", "not m68k"},
		{Auto, "vax", Software, "", "no machine for vax"},
		{Auto, "m68k", Hardware, "", "hardware isolation is required, but not available: hard: its machines have the host's architecture"},
	} {
		d, _, err := Choose(tt.name, tt.arch, tt.minimum, func(name string) map[string]string { return map[string]string{"driver": name} })
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%+v: %v", tt, err)
			}
		case err != nil || d.Name() != tt.want:
			t.Errorf("%+v: %v, %v", tt, d, err)
		}
	}
}
