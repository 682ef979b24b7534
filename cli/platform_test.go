package cli

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/oci"
)

// program is the header of an ELF file.
func program(machine byte) string {
	return "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) + "\x02\x00" + string([]byte{machine, 0})
}

func TestCheckProgram(t *testing.T) {
	const amd64, arm64 = 62, 183
	root := t.TempDir()
	for _, dir := range []string{"usr", "bin", "dir"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{"bin/amd64": program(amd64), "bin/arm64": program(arm64), "bin/script": "#!/bin/sh\n", "bin/empty": "",
		"bin/mips": program(8)} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	outside := filepath.Join(t.TempDir(), "arm64")
	if err := os.WriteFile(outside, []byte(program(arm64)), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"usr/link": "/bin/arm64", "usr/out": "../../../.." + outside} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ arg, machine, says string }{
		{"amd64", "amd64", ""}, {"arm64", "arm64", ""}, {"script", "arm64", ""}, {"empty", "arm64", ""}, {"mips", "arm64", ""}, {"none", "arm64", ""}, {"/dir", "arm64", ""},
		{"arm64", "amd64", "/bin/arm64 is a program for arm64, and the machine would be for amd64; --platform linux/arm64"},
		{"amd64", "arm64", "--platform linux/amd64"},
		{"link", "amd64", "/usr/link is a program for arm64"},
		{"../bin/arm64", "amd64", "/bin/arm64 is"},
		{"out", "amd64", ""}, // not a file of the host
		{"amd64", "", map[bool]string{true: "--platform linux/amd64"}[runtime.GOARCH != "amd64"]},
	} {
		s := &specs.Spec{Annotations: map[string]string{oci.ArchitectureAnnotation: tt.machine},
			Process: &specs.Process{Args: []string{tt.arg}, Cwd: "/dir", Env: []string{"PATH=/nowhere:/usr:/bin"}}}
		err := checkProgram(root, s)
		if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if err := checkProgram(root, &specs.Spec{Process: &specs.Process{}}); err != nil {
		t.Errorf("no arguments: %v", err)
	}
}

func TestSetPlatform(t *testing.T) {
	for platform, want := range map[string]string{"": "", "linux/arm64": "arm64", "linux/aarch64": "arm64", "linux/arm64/v8": "arm64"} {
		s := &specs.Spec{}
		if err := (&runFlags{platform: platform}).setPlatform(s); err != nil || s.Annotations[oci.ArchitectureAnnotation] != want {
			t.Errorf("%q: %q, %v", platform, s.Annotations, err)
		}
	}
	for platform, says := range map[string]string{"arm64": `--platform: platform "arm64": want os/architecture`, "windows/amd64": "the guest's system is linux"} {
		if err := (&runFlags{platform: platform}).setPlatform(&specs.Spec{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", platform, err)
		}
	}
}
