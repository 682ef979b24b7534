package e2e

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kata/check"
)

// withConfig makes the commands of h read a configuration file of its own.
func (h *host) withConfig(text string) {
	h.t.Helper()
	file := filepath.Join(h.t.TempDir(), "configuration.toml")
	writeFile(h.t, file, settings(text))
	h.flags = append(h.flags, "--config", file)
}

// sleeper does nothing for ever: pause(2) in a loop. As an agent, it is one that never
// answers.
func sleeper() []byte {
	return program(0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7) // mov $34,%eax; syscall; jmp -9
}

// quitter ends at once.
func quitter() []byte {
	return program(0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05) // mov $60,%eax; xor %edi,%edi; syscall
}

// program is an ELF executable for amd64.
func program(code ...byte) []byte {
	const base, headers = 0x400000, 64 + 56
	b := make([]byte, headers, headers+len(code))
	copy(b, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(b[16:], 2)  // ET_EXEC
	le.PutUint16(b[18:], 62) // EM_X86_64
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[24:], base+headers) // entry
	le.PutUint64(b[32:], 64)           // program headers
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 1)
	ph := b[64:]
	le.PutUint32(ph, 1)     // PT_LOAD
	le.PutUint32(ph[4:], 5) // readable, executable
	le.PutUint64(ph[16:], base)
	le.PutUint64(ph[24:], base)
	le.PutUint64(ph[32:], uint64(headers+len(code)))
	le.PutUint64(ph[40:], uint64(headers+len(code)))
	le.PutUint64(ph[48:], 0x1000)
	return append(b, code...)
}

func TestMachinesThatDoNotBoot(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, content []byte, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	kernel := readFile(t, kernelFile())
	for _, tc := range []struct {
		name, config string
		want, not    []string
	}{
		{"kernel missing", `kernel = "/nonexistent"`, []string{"kernel", "/nonexistent"}, nil},
		{"kernel is a directory", fmt.Sprintf("kernel = %q", dir), []string{"kernel", dir}, nil},
		{"kernel is a text", fmt.Sprintf("kernel = %q", file("text", []byte("#!/bin/true, and no kernel at all\n"), 0o755)), []string{noKernel()}, nil},
		{"kernel is empty", fmt.Sprintf("kernel = %q", file("empty", nil, 0o755)), []string{noKernel()}, nil},
		{"kernel is truncated", fmt.Sprintf("kernel = %q", file("truncated", []byte(kernel[:100000]), 0o755)), []string{"machine failed at the"}, []string{"timed out"}},
		{"kernel is another program", `kernel = "/bin/busybox"`, []string{"machine failed at the boot of the kernel"}, []string{"timed out"}},
		{"kernel panics", fmt.Sprintf("agent = %q", file("agent", []byte("not a program"), 0o644)),
			[]string{"machine failed at the boot of the kernel", "Kernel panic - not syncing: " + noInit()}, []string{"timed out"}},
		{"agent ends", fmt.Sprintf("agent = %q", file("quitter", quitter(), 0o755)), []string{"machine failed at the boot of the kernel", "Kernel panic - not syncing: Attempted to kill init"}, []string{"timed out"}},
		{"agent is missing", `agent = "/nonexistent"`, []string{"agent", "/nonexistent"}, nil},
		{"agent is silent", fmt.Sprintf("boot_timeout = \"3s\"\nagent = %q", file("silent", sleeper(), 0o755)), []string{"machine failed at the boot of the kernel", "timed out"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHost(t)
			if !strings.Contains(tc.config, "boot_timeout") {
				tc.config += "\nboot_timeout = \"2m\"\n"
			}
			h.withConfig(tc.config)
			for _, verb := range []string{"create", "run"} {
				id := h.newID()
				r := h.fails(1, tc.want, verb, "--bundle", bundle(t), id)
				for _, part := range tc.not {
					if strings.Contains(r.stderr, part) {
						t.Errorf("the error has %q; %s", part, r)
					}
				}
				h.must("delete", "--force", id)
				h.wantNothing()
			}
		})
	}
}

func TestDebugShowsTheConsole(t *testing.T) {
	h := newHost(t)
	agent := filepath.Join(t.TempDir(), "agent")
	writeFile(t, agent, "not a program")
	h.withConfig(fmt.Sprintf("agent = %q\nboot_timeout = \"2m\"\n", agent))
	r := h.kata("--debug", "run", "--bundle", bundle(t), h.newID())
	equal(t, "exit code", r.code, 1)
	contains(t, "stderr", r.stderr, "Run /", "as init process", "Kernel panic")
}

func TestBadConfigurations(t *testing.T) {
	for _, tc := range []struct {
		name, config string
		want         []string
	}{
		{"unknown key", "kernal = \"/x\"\n", []string{"kernal", "unknown key"}},
		{"unknown table", "[qmeu]\nx = 1\n", []string{"qmeu", "unknown key"}},
		{"wrong type", "default_memory = \"much\"\n", []string{"default_memory", "much"}},
		{"no TOML", "= = =\nhypervisor = \"auto\"\n", []string{"configuration.toml:1"}},
		{"unknown hypervisor", "hypervisor = \"nosuch\"\n", []string{"nosuch", "auto"}},
		{"unknown isolation", "minimum_isolation = \"none\"\n", []string{"minimum_isolation", "none", "hardware", "software"}},
		{"relative path", "kernel = \"linux\"\n", []string{"kernel", "absolute"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHost(t)
			h.withConfig(tc.config)
			h.refused(1, tc.want, "create", bundle(t))
		})
	}
	t.Run("no such file", func(t *testing.T) {
		h := newHost(t)
		h.flags = append(h.flags, "--config", "/nonexistent.toml")
		h.refused(1, []string{"/nonexistent.toml", "no such file"}, "create", bundle(t))
	})
	for _, flags := range [][]string{{"--hypervisor", "nosuch"}, {"--isolation", "none"}} {
		t.Run(flags[0], func(t *testing.T) {
			h := newHost(t)
			h.flags = append(h.flags, flags...)
			h.refused(1, flags[1:], "create", bundle(t))
		})
	}
}

func TestIsolationIsRefused(t *testing.T) {
	want := []string{"hardware isolation", "--isolation=software", "minimum_isolation"}
	for _, tc := range []struct {
		name  string
		flags []string
	}{
		{"no flag", nil},
		{"flag", []string{"--isolation", "hardware"}},
		{"user-mode kernel", []string{"--hypervisor", "uml"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// Only a host without it refuses to look for hardware isolation.
			if check.KVM() == nil && tc.name != "user-mode kernel" {
				t.Skip("this host has hardware isolation: check.KVM found KVM to work")
			}
			h := newHost(t)
			h.flags = append([]string{"--root", h.root}, tc.flags...)
			h.refused(1, want, "create", bundle(t))
		})
	}
}

func TestIsolationFromTheConfiguration(t *testing.T) {
	h := newHost(t)
	h.flags = []string{"--root", h.root}
	h.withConfig("minimum_isolation = \"software\"\nboot_timeout = \"2m\"\n")
	equal(t, "isolation", h.state(h.create(bundle(t))).Kata.Isolation, "software")
}
