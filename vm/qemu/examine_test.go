package qemu

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kata/check"
	"kata/vm"
)

// altered puts a QEMU that is not the host's in the driver's way: the host's with
// some bytes changed, or other contents.
func altered(t *testing.T, change func(binary []byte) []byte) {
	t.Helper()
	real, err := host.findBinary()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(real)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, host.program), change(content), 0o755); err != nil {
		t.Fatal(err)
	}
	saved := binaryDirs
	binaryDirs = []string{dir}
	t.Cleanup(func() { binaryDirs = saved })
}

func TestUnusableQEMU(t *testing.T) {
	const announcement = "QEMU emulator version "
	replace := func(old, with string) func([]byte) []byte {
		return func(b []byte) []byte {
			if !bytes.Contains(b, []byte(old)) {
				t.Errorf("this QEMU does not contain %q", old)
			}
			return bytes.ReplaceAll(b, []byte(old), []byte(with))
		}
	}
	whole := func(text string) func([]byte) []byte { return func([]byte) []byte { return []byte(text) } }
	same := func(b []byte) []byte { return b }
	noModules := func(t *testing.T) {
		saved := moduleDirs
		moduleDirs = []string{t.TempDir()}
		t.Cleanup(func() { moduleDirs = saved })
	}
	for name, tt := range map[string]struct {
		accel         accelerator
		options       map[string]string
		change        func([]byte) []byte
		prepare       func(*testing.T)
		kind          check.Kind
		cause, remedy string
	}{
		"too old":     {tcg, nil, replace(announcement+"7.", announcement+"6."), nil, check.ProgramOld, "is QEMU 6.", "7.2 or newer"},
		"no version":  {tcg, nil, replace(announcement, "QEMU imitator version "), nil, check.ProgramBroken, "does not say its version", "install"},
		"no QEMU":     {tcg, nil, whole("#!/bin/sh\n"), nil, check.ProgramBroken, "is no QEMU", "install"},
		"empty":       {tcg, nil, whole(""), nil, check.ProgramBroken, "is no QEMU", "install"},
		"without KVM": {kvm, nil, replace("kvm-accel\x00", "kvm-other\x00"), nil, check.ProgramAccelerator, "built without the accelerator kvm", "install"},
		"without virtiofs": {tcg, map[string]string{"share": "virtiofs"}, replace("vhost-user-fs-device\x00", "vhost-fake-fs-device\x00"), nil,
			check.ProgramDevice, "without the device vhost-user-fs", "9p"},
		"without a module": {tcg, nil, same, noModules, check.ProgramAccelerator, "accel-tcg-x86_64.so is not in", "modules"},
		"without TCG": {tcg, nil, func(b []byte) []byte {
			return replace("tcg-accel\x00", "tcg-other\x00")(replace(host.module(tcg), "other-tcg-x86_64")(b))
		}, noModules, check.ProgramAccelerator, "built without the accelerator tcg", "install"},
	} {
		t.Run(name, func(t *testing.T) {
			altered(t, tt.change)
			if tt.prepare != nil {
				tt.prepare(t)
			}
			_, err := host.installation(tt.accel, tt.options)
			u, ok := errors.AsType[*vm.Unavailable](err)
			if !ok || u.Kind != tt.kind || !strings.Contains(u.Cause, tt.cause) || !strings.Contains(u.Remedy, tt.remedy) {
				t.Fatalf("%+v", err)
			}
			if tt.accel != tcg {
				return
			}
			// What a start says and what an inspection says are the same.
			options := map[string]string{"accelerator": "tcg", "share": tt.options["share"]}
			if err := (Driver{}).Inspect(options); err == nil || err.Error() != u.Error() {
				t.Errorf("inspection: %v", err)
			}
			kernel := filepath.Join(t.TempDir(), "kernel")
			if err := os.WriteFile(kernel, someKernel(), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = Driver{}.Start(t.Context(), vm.Spec{Dir: t.TempDir(), Kernel: kernel, VCPUs: 1, MemoryMiB: 96, Options: options})
			boot, ok := errors.AsType[*vm.BootError](err)
			if !ok || boot.Phase != vm.PhasePrepare || !errors.As(err, &u) || u.Kind != tt.kind {
				t.Errorf("start: %v", err)
			}
		})
	}
}

// someKernel is the header of an ELF file that passes for a kernel.
func someKernel() []byte {
	b := make([]byte, 64)
	copy(b, "\x7fELF\x02\x01\x01")
	b[16], b[18], b[20], b[52], b[54], b[58] = 2, 62, 1, 64, 56, 64
	return b
}

// TestInspection compares what the file says with what the program says.
func TestInspection(t *testing.T) {
	binary, err := host.findBinary()
	if err != nil {
		t.Fatal(err)
	}
	said := func(args ...string) string {
		out, err := exec.Command(binary, args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	version, accelerators := said("--version"), said("-accel", "help")
	for _, accel := range []accelerator{kvm, tcg} {
		b, err := host.inspect(binary, accel)
		if err != nil {
			t.Fatal(err)
		}
		if b.version == "" || !strings.HasPrefix(version, "QEMU emulator version "+b.version) {
			t.Errorf("version %q; it says %q", b.version, version)
		}
		has := host.examine(binary, accel, nil) == nil
		if has != strings.Contains(accelerators, "\n"+string(accel)+"\n") {
			t.Errorf("%s: %v; it says %q", accel, has, accelerators)
		}
	}
}

// TestVhostNet: a QEMU that was built without it is known by what it would say, and is not
// asked for it.
func TestVhostNet(t *testing.T) {
	const stub, other = "vhost-net support is not compiled in", "vhost-net requested but could not be initialized"
	with := func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(stub), bytes.Repeat([]byte("x"), len(stub))) }
	for name, tt := range map[string]struct {
		change func([]byte) []byte
		want   bool
	}{
		"with it":    {with, true},
		"without it": {func(b []byte) []byte { return bytes.ReplaceAll(with(b), []byte(other[:len(stub)]), []byte(stub)) }, false},
		"no program": {func([]byte) []byte { return []byte("no program") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			altered(t, tt.change)
			if has := host.vhostNet(); has != tt.want {
				t.Error(has)
			}
		})
	}
}

func TestVersions(t *testing.T) {
	for version, want := range map[string]bool{"7.2.22": true, "7.2": true, "10.0.1": true, "7.1.9": false, "6.9": false, "8.0": true, "": false, "7": false, "x.y": false} {
		if got := (build{version: version}).atLeast(7, 2); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}
