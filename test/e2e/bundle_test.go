package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"kata/oci"
)

// busybox must be static: it is all that the containers have.
const busybox = "/bin/busybox"

// makeTemplate makes a root filesystem with every applet of busybox.
func makeTemplate(dir string) error {
	for _, d := range []string{"bin", "etc", "proc", "sys", "dev", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(dir, "tmp"), 0o1777); err != nil {
		return err
	}
	raw, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "bin/busybox"), raw, 0o755); err != nil {
		return err
	}
	names, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(names)) {
		if name == "busybox" {
			continue
		}
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", name)); err != nil {
			return err
		}
	}
	passwd := "root:x:0:0:root:/:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\n"
	return os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte(passwd), 0o644)
}

type edit func(*specs.Spec)

// bundle makes a bundle of its own root filesystem, without a terminal, that the
// edits change. The result is the bundle's directory.
func bundle(t *testing.T, edits ...edit) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "rootfs"), os.DirFS(templateFS)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "rootfs/tmp"), 0o1777); err != nil {
		t.Fatal(err)
	}
	s := oci.DefaultSpec()
	s.Process.Terminal = false
	s.Root.Readonly = false
	s.Process.Args = []string{"sleep", "1000000"}
	for _, e := range edits {
		e(s)
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, oci.ConfigName), string(b))
	return dir
}

func args(a ...string) edit { return func(s *specs.Spec) { s.Process.Args = a } }

func script(text string) edit { return args("sh", "-c", text) }

func mounts(m ...specs.Mount) edit {
	return func(s *specs.Spec) { s.Mounts = append(s.Mounts, m...) }
}

func bind(source, target string, options ...string) specs.Mount {
	return specs.Mount{Source: source, Destination: target, Type: "bind", Options: append([]string{"rbind"}, options...)}
}

// capabilities replaces those that the process has.
func capabilities(names ...string) edit {
	return func(s *specs.Spec) {
		s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: names, Effective: names, Permitted: names}
	}
}

func terminalOn(s *specs.Spec) { s.Process.Terminal = true }

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func sha256File(t *testing.T, name string) string {
	t.Helper()
	return fmt.Sprintf("%x", sha256.Sum256([]byte(readFile(t, name))))
}

func makeFIFO(name string) error { return unix.Mkfifo(name, 0o644) }

// touchAt sets the times of files, in seconds.
func touchAt(t *testing.T, seconds int64, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Chtimes(name, time.Unix(seconds, 0), time.Unix(seconds, 0)); err != nil {
			t.Fatal(err)
		}
	}
}

func ptr[T any](v T) *T { return &v }
