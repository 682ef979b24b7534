package posix

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// overlay makes a bundle's root file system what engines make of an image: its
// files below, and a layer above for what is written.
func overlay(t *testing.T, bundle string) {
	t.Helper()
	rootfs, upper, work := filepath.Join(bundle, "rootfs"), filepath.Join(bundle, "upper"), filepath.Join(bundle, "work")
	must(t, os.Mkdir(upper, 0o755))
	must(t, os.Mkdir(work, 0o755))
	must(t, unix.Mount("overlay", rootfs, "overlay", 0, "lowerdir="+rootfs+",upperdir="+upper+",workdir="+work))
	t.Cleanup(func() { must(t, unix.Unmount(rootfs, unix.MNT_DETACH)) })
}

// What an overlay cannot do on the host is no difference.
func TestOverlay(t *testing.T) {
	dir := bundle(t, []string{"/posix", "/data"})
	overlay(t, dir)
	data := filepath.Join(dir, "rootfs/data")
	for p := dir; p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
		must(t, os.Chmod(p, 0o755))
	}
	out, err := exec.Command(filepath.Join(dir, "rootfs/posix"), data).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := slices.Clone(shared)
	for name, why := range failures(t, string(out), data)[data] {
		t.Logf("on the host: %s: %s", name, why)
		want = append(want, name)
	}
	compare(t, "overlay", failures(t, run(t, dir), "/data")["/data"], want)
}

// A file stays the same when the overlay copies it up, and so does a directory.
func TestCopyUp(t *testing.T) {
	dir := bundle(t, []string{"/posix", "--serve"})
	lower := filepath.Join(dir, "rootfs/lower")
	must(t, os.MkdirAll(filepath.Join(lower, "d"), 0o755))
	for _, name := range []string{"f", "g"} {
		write(t, filepath.Join(lower, name), "text")
	}
	overlay(t, dir)
	g := serve(t, dir)
	id := g.ask("id /lower/f")
	g.want("hold /lower/f", "")
	g.want("held", "text")
	g.want("lock", "")
	g.want("locked /lower/f", unix.EAGAIN.Error()) // opened for writing: copied up
	g.want("fstat", "100644 4 0:0")
	g.want("chmod /lower/f", "")
	g.want("fstat", "100600 4 0:0")
	g.want("put /lower/f", "")
	g.want("fstat", "100600 12 0:0")
	g.want("held", "by the guest")
	g.want("id /lower/f", id)

	id = g.ask("id /lower/g")
	g.want("chmod /lower/g", "")
	g.want("stat /lower/g", "100600 4 0:0")
	g.want("id /lower/g", id)

	id = g.ask("id /lower/d")
	g.want("cd /lower/d", "")
	g.want("put new", "")
	g.want("id .", id)
	g.want("cat /lower/d/new", "by the guest")
}
