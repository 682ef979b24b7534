package qemu

import (
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kata/check"
	"kata/vm"
)

func unavailable(t *testing.T, options map[string]string) *vm.Unavailable {
	t.Helper()
	_, err := Driver{}.Probe(options)
	u, ok := errors.AsType[*vm.Unavailable](err)
	if !ok {
		t.Fatalf("%T %v, want Unavailable", err, err)
	}
	if u.Driver != Name || u.Cause == "" || u.Remedy == "" {
		t.Errorf("%+v", u)
	}
	return u
}

func TestProbeWithoutQEMU(t *testing.T) {
	defer func(dirs []string) { binaryDirs = dirs }(binaryDirs)
	dir := t.TempDir()
	binaryDirs = []string{dir}
	if u := unavailable(t, nil); !strings.Contains(u.Cause, dir) || !strings.Contains(u.Remedy, "install") {
		t.Errorf("%v", u)
	}
	// A file that nobody may execute is no QEMU.
	if err := os.WriteFile(filepath.Join(dir, host.program), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	unavailable(t, nil)
}

func TestProbeOfAccelerators(t *testing.T) {
	hardware := check.KVM() == nil
	if u := unavailable(t, map[string]string{"accelerator": "hvf"}); !strings.Contains(u.Cause, "hvf") {
		t.Errorf("%v", u)
	}
	for _, name := range []string{"", "auto", "tcg"} {
		caps, err := Driver{}.Probe(map[string]string{"accelerator": name})
		if err != nil {
			t.Fatal(err)
		}
		want := vm.Software
		if hardware && name != "tcg" {
			want = vm.Hardware
		}
		if caps.Isolation != want || (caps.BootFactor > 1) != (want == vm.Software) {
			t.Errorf("accelerator %q: %+v, want %s", name, caps, want)
		}
	}
	if hardware {
		if caps, err := (Driver{}).Probe(map[string]string{"accelerator": "kvm"}); err != nil || caps.Isolation != vm.Hardware {
			t.Errorf("%+v, %v", caps, err)
		}
		return
	}
	// Why the host cannot, and that software isolation could.
	if u := unavailable(t, map[string]string{"accelerator": "kvm"}); u.Cause != check.KVM().Cause || !strings.Contains(u.Remedy, "software isolation") {
		t.Errorf("%v", u)
	}
}

// TestInstallation compares what the loader says with what the files ask for.
func TestInstallation(t *testing.T) {
	files, err := host.installation(tcg, nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		if !filepath.IsAbs(f.Path) || !filepath.IsAbs(f.Place) {
			t.Errorf("%+v", f)
		}
		names = append(names, filepath.Base(f.Place))
	}
	for _, in := range files {
		f, err := elf.Open(in.Path)
		if err != nil {
			continue // firmware
		}
		needed, err := f.ImportedLibraries()
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range needed {
			if !slices.Contains(names, n) {
				t.Errorf("%s needs %s, which is not let in", in.Path, n)
			}
		}
	}
	if !slices.Contains(names, "qemu") || !slices.Contains(names, "pvh.bin") {
		t.Errorf("only %q are let in", names)
	}
}

func TestInstallationIsIncomplete(t *testing.T) {
	defer func(dirs []string) { firmwareDirs = dirs }(firmwareDirs)
	firmwareDirs = []string{t.TempDir()}
	if _, err := host.installation(tcg, nil); err == nil || !strings.Contains(err.Error(), host.firmware[0]) {
		t.Errorf("%v, want an error that names %s", err, host.firmware[0])
	}
}
