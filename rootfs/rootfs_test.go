package rootfs

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// makeRoot makes a root with links that would lead out of it, beside a directory
// that must stay as it is.
func makeRoot(t *testing.T) (r Root, dir, outside string) {
	t.Helper()
	top := t.TempDir()
	dir, outside = filepath.Join(top, "root"), filepath.Join(top, "outside")
	for _, d := range []string{filepath.Join(dir, "dir"), outside} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"abs": outside, "up": "../outside", "deep": "dir/../../../../../.." + outside,
		"in": "dir", "loop": "loop", "proc": "/proc/self/cwd", "dangling": "/none/such"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return Root{FD: fd}, dir, outside
}

// pathOf says where an open file is.
func pathOf(t *testing.T, fd int) string {
	t.Helper()
	p, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMakeStaysInside(t *testing.T) {
	for name, want := range map[string]string{
		"/dir/new": "dir/new", "dir/a/b/c": "dir/a/b/c", "../../x": "x", "/dir/../../y": "y", "/": "", "in/z": "dir/z",
	} {
		for _, file := range []bool{false, true} {
			r, dir, _ := makeRoot(t)
			fd, made, err := r.Make(name, file)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if got := pathOf(t, fd); got != filepath.Join(dir, want) || made != (name != "/") {
				t.Errorf("%s is at %s, made %v", name, got, made)
			}
			if fi, err := os.Stat(filepath.Join(dir, want)); err != nil || fi.IsDir() == (file && made) {
				t.Errorf("%s, file %v: %v, %v", name, file, fi, err)
			}
			unix.Close(fd)
		}
	}
}

func TestLinksLeadNowhere(t *testing.T) {
	for _, name := range []string{"abs/new", "up/new", "deep/new", "loop/new", "proc/new", "dangling/new", "abs", "dangling"} {
		r, dir, outside := makeRoot(t)
		fd, _, err := r.Make(name, false)
		if err == nil {
			if got := pathOf(t, fd); !strings.HasPrefix(got, dir+"/") {
				t.Errorf("%s is at %s", name, got)
			}
			unix.Close(fd)
		}
		if entries, err := os.ReadDir(outside); err != nil || len(entries) != 0 {
			t.Errorf("%s made %v outside, %v", name, entries, err)
		}
	}
}

func TestMakeDirectoryFollowsNoLink(t *testing.T) {
	r, dir, _ := makeRoot(t)
	for _, name := range []string{"in", "in/new", "abs", "dangling"} {
		if fd, _, err := r.MakeDirectory(name); !errors.Is(err, unix.ELOOP) && !errors.Is(err, unix.ENOTDIR) {
			t.Errorf("%s: descriptor %d, %v", name, fd, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "dir/new")); err == nil {
		t.Error("a directory was made through a link")
	}
	fd, made, err := r.MakeDirectory("dir/new")
	if err != nil || !made {
		t.Errorf("%v, made %v", err, made)
	}
	unix.Close(fd)
}

func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving files away takes root")
	}
	r, dir, _ := makeRoot(t)
	r.UID, r.GID = 12, 34
	fd, _, err := r.Make("dir/a/file", true)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	for name, uid := range map[string]uint32{"dir": 0, "dir/a": 12, "dir/a/file": 12} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, name), &st); err != nil || st.Uid != uid {
			t.Errorf("%s belongs to %d, %v", name, st.Uid, err)
		}
	}
}
