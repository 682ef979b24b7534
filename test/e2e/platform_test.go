package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/image"
)

// foreignFS is a root filesystem of a busybox for arm64. It skips the test if the
// guest for arm64, or busybox, was not made: both are apart from what all tests need.
func foreignFS(t *testing.T) string {
	t.Helper()
	cache := os.Getenv("KATA_CACHE")
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(dir, "kata")
	}
	program := filepath.Join(cache, "arm64", "busybox")
	for file, how := range map[string]string{
		filepath.Join(guestDir, "linux-arm64"):      "make guest-arm64",
		filepath.Join(guestDir, "kata-agent-arm64"): "make guest-arm64",
		"/usr/bin/qemu-system-aarch64":              "hack/setup.sh emulation",
		program:                                     "hack/setup.sh emulation",
	} {
		if _, err := os.Stat(file); os.IsNotExist(err) {
			t.Skipf("%v; it comes from: %s", err, how)
		}
	}
	root := filepath.Join(t.TempDir(), "rootfs")
	if err := os.CopyFS(root, os.DirFS(templateFS)); err != nil {
		t.Fatal(err)
	}
	content := readFile(t, program)
	if err := os.WriteFile(filepath.Join(root, "bin/busybox"), []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

func platformImage(t *testing.T, platform, root string) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := (image.Builder{Platform: platform}).Write(f, root, image.Config{Cmd: []string{"uname", "-m"}}); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// TestPlatform runs programs of another architecture, in a machine of that one.
func TestPlatform(t *testing.T) {
	root := foreignFS(t)
	h := newHost(t)
	shared := t.TempDir()
	writeFile(t, filepath.Join(shared, "in"), "from the host\n")
	r := h.kataRun("typed\n", "--platform", "linux/arm64", "-i", "-v", shared+":/mnt", platformImage(t, "linux/arm64/v8", root),
		"sh", "-c", "uname -m; cat; cat /mnt/in; echo from the guest >/mnt/out; exit 7")
	equal(t, "output", r.stdout, "aarch64\ntyped\nfrom the host\n")
	equal(t, "exit code", r.code, 7)
	equal(t, "file", readFile(t, filepath.Join(shared, "out")), "from the guest\n")

	r = h.kataRun("", "--platform", "linux/arm64", "--isolation", "hardware", "--rootfs", root, "uname")
	equal(t, "exit code", r.code, 1)
	contains(t, "emulation where hardware is required", r.stderr, "hardware isolation is required", "not of arm64")
}

// TestForeignBundle: a bundle says by an annotation what it is for. Its system call
// filter has the numbers of its own architecture.
func TestForeignBundle(t *testing.T) {
	root := foreignFS(t)
	h := newHost(t)
	id := h.start(filter(specs.ActAllow, specs.LinuxSyscall{Names: []string{"mkdirat"}, Action: specs.ActErrno}), func(s *specs.Spec) {
		s.Root.Path = root
		s.Annotations = map[string]string{"org.opencontainers.image.architecture": "arm64"}
	})
	equal(t, "hypervisor", h.state(id).Kata.Hypervisor, "qemu")
	equal(t, "machine", h.must("exec", id, "uname", "-m"), "aarch64\n")
	r := h.kata("exec", id, "mkdir", "/tmp/new")
	equal(t, "exit code", r.code, 1)
	contains(t, "filter", r.stderr, "Operation not permitted")
	if r := h.kata("exec", id, "sh", "-c", "kill -9 $$"); r.code != 137 {
		t.Errorf("want exit code 137; %s", r)
	}
}

// TestWrongPlatform: what cannot run says so before anything starts, and what would.
func TestWrongPlatform(t *testing.T) {
	h := newHost(t)
	root := t.TempDir()
	header := "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) + "\x02\x00\xb7\x00"
	if err := os.WriteFile(filepath.Join(root, "program"), []byte(header), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		part string
	}{
		"image":       {[]string{platformImage(t, "linux/arm64", root)}, "only for linux/arm64; --platform linux/arm64 runs that by emulation"},
		"program":     {[]string{"--rootfs", root, "/program"}, "/program is a program for arm64, and the machine would be for amd64; --platform linux/arm64"},
		"no machine":  {[]string{"--platform", "linux/vax", "--rootfs", root, "sh"}, "no machine for vax; use one of amd64, arm64"},
		"no platform": {[]string{"--platform", "arm64", "--rootfs", root, "sh"}, "want os/architecture"},
	} {
		t.Run(name, func(t *testing.T) {
			r := h.kataRun("", c.args...)
			equal(t, "exit code", r.code, 1)
			contains(t, "error", r.stderr, c.part)
			equal(t, "lines of error", strings.Count(r.stderr, "\n"), 1)
		})
	}
}
