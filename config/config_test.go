package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "configuration.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadEverything(t *testing.T) {
	path := write(t, `hypervisor = "uml"
minimum_isolation = "software"
kernel = "/k"
agent = "/a"
default_memory = 640
default_vcpus = 2
boot_timeout = "1m30s"
debug = true
pool_size = 3
[uml]
mode = "seccomp"
[qemu]
accelerator = "tcg"
machine = "q35"
network = "relay"
share = "virtiofs"
template = false
template_dir = "/saved"
`)
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Hypervisor: "uml", MinimumIsolation: "software", Kernel: "/k", Agent: "/a", DefaultMemory: 640,
		DefaultVCPUs: 2, BootTimeout: 90 * time.Second, Debug: true, PoolSize: 3, UML: UML{Mode: "seccomp"}, QEMU: QEMU{Accelerator: "tcg", Machine: "q35", Network: "relay", Share: "virtiofs", TemplateDir: "/saved"}, Source: path}
	if *got != want {
		t.Errorf("got %+v\nwant %+v", *got, want)
	}
}

func TestSearch(t *testing.T) {
	a, b, c := write(t, "default_vcpus = 2"), write(t, "default_vcpus = 3"), write(t, "default_vcpus = 4")
	missing := filepath.Join(t.TempDir(), "none")
	for _, tt := range []struct {
		path, env, fallback, source string
		vcpus                       int
	}{
		{a, b, c, a, 2}, {"", b, c, b, 3}, {"", "", c, c, 4}, {"", "", missing, BuiltIn, 1},
	} {
		got, err := load(tt.path, tt.env, tt.fallback)
		if err != nil || got.Source != tt.source || got.DefaultVCPUs != tt.vcpus {
			t.Errorf("load(%q, %q, %q) = %+v, %v", tt.path, tt.env, tt.fallback, got, err)
		}
	}
	if _, err := load(missing, "", c); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a named file that is missing: %v", err)
	}
	if _, err := load("", missing, c); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), EnvFile) {
		t.Errorf("a file in %s that is missing: %v", EnvFile, err)
	}
	if _, err := load("/dev/zero", "", c); err == nil {
		t.Error("a device was read")
	}
	if _, err := load(write(t, strings.Repeat("#\n", maxFile)), "", c); err == nil {
		t.Error("an endless file was read")
	}
}

func TestErrorsNameKeyAndFile(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"debug = true\n  colour = 1\n", "F:2:3: colour: unknown key"},
		{"[uml]\nspeed = 1\n", "F:2:1: uml.speed: unknown key"},
		{"[qemu]\npath = 1\n", "unknown key"},
		{"debug = \n", "F:1:"},
		{"debug = true\ndebug = true\n", "F:2:"},
		{"uml = 3\n", "F:1:"},
		{"hypervisor = 3", "F: hypervisor: got 3, want"},
		{`hypervisor = "../x"`, "F: hypervisor: got \"../x\", want"},
		{`minimum_isolation = "none"`, `F: minimum_isolation: got "none", want "hardware" or "software"`},
		{`kernel = "vmlinux"`, "F: kernel: got \"vmlinux\", want an absolute path"},
		{"agent = true", "F: agent: got true"},
		{"default_memory = 95", "F: default_memory: got 95, want a whole number of MiB from 96 to 1048576"},
		{`default_memory = "512"`, `F: default_memory: got "512", want a whole number of MiB`},
		{"default_memory = 99999999999999999999", "F:1:"},
		{"default_vcpus = 0", "F: default_vcpus: got 0, want a whole number of processors from 1 to 256"},
		{"default_vcpus = 1.5", "F: default_vcpus: got 1.5"},
		{"boot_timeout = 10", "F: boot_timeout: got 10, want a duration"},
		{`boot_timeout = "1h"`, "F: boot_timeout: got \"1h\", want a duration such as \"10s\" from 100ms to 10m0s"},
		{"debug = 1", "F: debug: got 1, want true or false"},
		{"[uml]\nmode = \"fast\"", `F: uml.mode: got "fast", want "ptrace" or "seccomp"`},
		{"[qemu]\ntemplate_dir = \"here\"", `F: qemu.template_dir: got "here", want an absolute path`},
		{"[qemu]\nnetwork = \"user\"", `F: qemu.network: got "user", want "auto" or "relay"`},
		{"[qemu]\nmachine = \"pc\"", `F: qemu.machine: got "pc", want "microvm" or "q35"`},
		{"[qemu]\nshare = \"nfs\"", `F: qemu.share: got "nfs", want "9p" or "virtiofs"`},
		{"[qemu]\naccelerator = \"hvf\"", `F: qemu.accelerator: got "hvf", want "auto" or "kvm" or "tcg"`},
	} {
		path := write(t, tt.text)
		_, err := Load(path)
		var typed *Error
		if !errors.As(err, &typed) {
			t.Errorf("%q: no *Error but %v", tt.text, err)
			continue
		}
		if got := strings.ReplaceAll(err.Error(), path, "F"); !strings.Contains(got, tt.want) {
			t.Errorf("%q:\n got %s\nwant %s", tt.text, got, tt.want)
		}
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, err := Load(write(t, "debug = 1\ndefault_vcpus = 0\n"))
	if err == nil || !strings.Contains(err.Error(), "debug") || !strings.Contains(err.Error(), "default_vcpus") {
		t.Errorf("got %v", err)
	}
}

func TestPackagedFileIsTheDefaults(t *testing.T) {
	path := filepath.Join("..", "packaging", "configuration.toml")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := *Default()
	want.Source = path
	// Once as it is, once with every commented key switched on.
	var all []string
	for _, line := range strings.Split(string(data), "\n") {
		if strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "# ") {
			line = line[1:]
		}
		all = append(all, line)
	}
	for _, text := range []string{string(data), strings.Join(all, "\n")} {
		got, err := parse(path, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if *got != want {
			t.Errorf("got %+v, want %+v", *got, want)
		}
	}
}

func TestGuestFiles(t *testing.T) {
	root := t.TempDir()
	touch := func(parts ...string) string {
		path := filepath.Join(append([]string{root}, parts...)...)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dir := filepath.Join(root, "usr", "libexec", "bin")
	c := Default()
	_, _, err := c.guestFiles(dir, "linux", AgentName)
	for _, want := range []string{filepath.Join(dir, "guest", "linux"), filepath.Join(root, "usr/libexec/share/kata/linux"),
		filepath.Join(root, "usr/share/kata/linux"), "make guest", BuiltIn} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("error %v does not mention %s", err, want)
		}
	}
	for _, place := range []string{"usr/share/kata", "usr/libexec/share/kata", "usr/libexec/bin/guest"} {
		k, a := touch(place, "linux"), touch(place, AgentName)
		gotK, gotA, err := c.guestFiles(dir, "linux", AgentName)
		if err != nil || gotK != k || gotA != a {
			t.Errorf("after %s: %s, %s, %v", place, gotK, gotA, err)
		}
	}
	c.Kernel = touch("own", "kernel")
	if k, _, err := c.guestFiles(dir, "linux", AgentName); err != nil || k != c.Kernel {
		t.Errorf("configured kernel: %s, %v", k, err)
	}
	c.Kernel = root
	if _, _, err := c.guestFiles(dir, "linux", AgentName); err == nil || !strings.Contains(err.Error(), `"kernel" in `+BuiltIn) {
		t.Errorf("a directory as kernel: %v", err)
	}
	if _, _, err := c.guestFiles(dir, "../linux", AgentName); err == nil {
		t.Error("a path as kernel name was accepted")
	}
	// What is configured is for the host's architecture.
	if _, _, err := c.guestFiles(dir, "linux-arm64", AgentName+"-arm64"); err == nil || !strings.Contains(err.Error(), "`make guest-arm64`") {
		t.Errorf("another architecture: %v", err)
	}
	k, a := touch("usr/share/kata", "linux-arm64"), touch("usr/share/kata", AgentName+"-arm64")
	if gotK, gotA, err := c.guestFiles(dir, "linux-arm64", AgentName+"-arm64"); err != nil || gotK != k || gotA != a {
		t.Errorf("another architecture: %s, %s, %v", gotK, gotA, err)
	}
}
