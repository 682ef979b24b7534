// Package posix checks that files behave in a container as on the host: it runs a
// program that looks at one operation after the other (./program) on the host, in
// a container's root file system, in a volume, and in a tmpfs of the guest, with a
// real machine. Whatever differs is listed here with its reason, and a difference
// that is gone fails the test as a new one does.
//
// It does not measure, does not look at volumes as such (test/e2e does), and does
// not build the commands (make and make guest do). It needs root.
package posix

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/oci"
)

// shared are the differences of what is shared from the host; docs/files.md
// explains each.
var shared = []string{
	"mknod: devices",   // the jail may not make any
	"xattr: trusted.*", // the jail is in a user namespace
	"names: a tree deeper than PATH_MAX, step by step",               // paths on the share are absolute on the host
	"open: a deleted file, opened for reading, reopened for writing", // there is no path to it any more
}

// capabilities are those of an engine's default, and CAP_SYS_ADMIN for trusted.*.
var capabilities = []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE", "CAP_SYS_ADMIN"}

// build makes the program and returns its path.
func build(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "posix")
	cmd := exec.Command("go", "build", "-trimpath", "-o", file, "./program")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

// failures reads the program's report: what failed in each directory, and why.
func failures(t *testing.T, report string, dirs ...string) map[string]map[string]string {
	t.Helper()
	all := map[string]map[string]string{}
	line := regexp.MustCompile(`(?m)^fail (\S+) "(.*?)": (.*)$`)
	for _, d := range dirs {
		all[d] = map[string]string{}
		for _, m := range line.FindAllStringSubmatch(report, -1) {
			if m[1] == d {
				all[d][m[2]] = m[3]
			}
		}
		count := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(d) + `: \d+ passed, (\d+) failed$`).FindStringSubmatch(report)
		if count == nil || count[1] != strconv.Itoa(len(all[d])) {
			t.Fatalf("%d failures of %s are told of in %q", len(all[d]), d, report)
		}
		t.Log(count[0])
	}
	return all
}

// compare fails for what fails and should not, and for what should and does not.
func compare(t *testing.T, where string, got map[string]string, want []string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if !slices.Contains(want, name) {
			t.Errorf("%s: %s: %s", where, name, got[name])
		}
	}
	for _, name := range want {
		if got[name] == "" {
			t.Errorf("%s: %q passes: take it out of the list of differences and of docs/files.md", where, name)
		}
	}
}

func TestHost(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for p := dir; p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil { // the checks' users have to come through
			t.Fatal(err)
		}
	}
	out, err := exec.Command(build(t), dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	compare(t, "host", failures(t, string(out), dir)[dir], nil)
}

func TestContainer(t *testing.T) {
	dir := bundle(t, []string{"/posix", "/data", "/volume", "/tmpfs"},
		specs.Mount{Destination: "/volume", Type: "bind", Source: directory(t), Options: []string{"rbind"}},
		specs.Mount{Destination: "/tmpfs", Type: "tmpfs", Source: "tmpfs"})
	got := failures(t, run(t, dir), "/data", "/volume", "/tmpfs")
	compare(t, "root file system", got["/data"], shared)
	compare(t, "volume", got["/volume"], shared)
	compare(t, "tmpfs", got["/tmpfs"], nil)
}

// directory makes one that everybody may enter.
func directory(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// bundle makes a bundle with the program, /posix, in an otherwise empty root.
func bundle(t *testing.T, args []string, mounts ...specs.Mount) string {
	t.Helper()
	dir := t.TempDir()
	rootfs := filepath.Join(dir, "rootfs")
	for _, d := range []string{"data", "proc", "dev", "sys"} {
		if err := os.MkdirAll(filepath.Join(rootfs, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(build(t), filepath.Join(rootfs, "posix")); err != nil {
		t.Fatal(err)
	}
	s := oci.DefaultSpec()
	s.Process.Terminal, s.Root.Readonly = false, false
	s.Process.Args = args
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: capabilities, Effective: capabilities, Permitted: capabilities}
	s.Mounts = append(s.Mounts, mounts...)
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, oci.ConfigName), b, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

var count atomic.Int32

// command runs a bundle in the foreground.
func command(t *testing.T, bundle string) *exec.Cmd {
	t.Helper()
	return commandWith(t, bundle, "")
}

// commandWith is command with settings.
func commandWith(t *testing.T, bundle, settings string) *exec.Cmd {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "configuration.toml")
	if err := os.WriteFile(conf, []byte("boot_timeout = \"2m\"\n"+settings), 0o644); err != nil {
		t.Fatal(err)
	}
	bin, err := filepath.Abs("../../bin/kata-runtime")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bin); err != nil {
		t.Fatalf("%v: run make and make guest", err)
	}
	cmd := exec.Command(bin, "--root", t.TempDir(), "--isolation", "software", "run", "--bundle", bundle,
		fmt.Sprintf("posix-%d-%d", os.Getpid(), count.Add(1)))
	cmd.Env = append(os.Environ(), "KATA_CONF_FILE="+conf)
	return cmd
}

// run runs a bundle and returns what it printed.
func run(t *testing.T, bundle string) string {
	t.Helper()
	out, err := command(t, bundle).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}
