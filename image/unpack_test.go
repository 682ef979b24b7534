package image

import (
	"archive/tar"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	digest "github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// netBind is a security.capability value, version 2: CAP_NET_BIND_SERVICE,
// permitted and effective (capability.h, vfs_cap_data).
const netBind = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

func TestLayers(t *testing.T) {
	base := []tar.Header{dir("d"), file("d/a", "1"), file("d/b", "2"), dir("d/sub"), file("d/sub/x", "3"), file("f", "4")}
	for _, tc := range []struct {
		name string
		top  []tar.Header
		want map[string]string
	}{
		{"whiteout of a file", []tar.Header{file("d/.wh.a", "")},
			map[string]string{"d/": "", "d/b": "2", "d/sub/": "", "d/sub/x": "3", "f": "4"}},
		{"whiteout of a directory", []tar.Header{file(".wh.d", "")}, map[string]string{"f": "4"}},
		{"whiteout of nothing", []tar.Header{file("no/.wh.x", ""), file(".wh.y", ""), file("f/.wh.z", "")},
			map[string]string{"d/": "", "d/a": "1", "d/b": "2", "d/sub/": "", "d/sub/x": "3", "f": "4"}},
		{"opaque first", []tar.Header{dir("d"), file("d/.wh..wh..opq", ""), file("d/new", "n")},
			map[string]string{"d/": "", "d/new": "n", "f": "4"}},
		{"opaque last", []tar.Header{dir("d"), file("d/new", "n"), dir("d/sub"), file("d/sub/y", "m"), file("d/.wh..wh..opq", "")},
			map[string]string{"d/": "", "d/new": "n", "d/sub/": "", "d/sub/y": "m", "f": "4"}},
		{"whiteout after own file", []tar.Header{file("d/a", "new"), file("d/.wh.a", "")},
			map[string]string{"d/": "", "d/a": "new", "d/b": "2", "d/sub/": "", "d/sub/x": "3", "f": "4"}},
		{"whiteout, then new directory", []tar.Header{file(".wh.d", ""), dir("d"), file("d/n", "n")},
			map[string]string{"d/": "", "d/n": "n", "f": "4"}},
		{"file in a directory's place", []tar.Header{file("d", "flat")}, map[string]string{"d": "flat", "f": "4"}},
		{"directory in a file's place", []tar.Header{file(".wh.d", ""), dir("f"), file("f/x", "x")},
			map[string]string{"f/": "", "f/x": "x"}},
		{"file in a symlink's place", []tar.Header{file(".wh.d", ""), symlink("l", "f"), file("l", "own")},
			map[string]string{"f": "4", "l": "own"}},
		{"aufs bookkeeping", []tar.Header{file(".wh.d", ""), file(".wh..wh.aufs", ""), file(".wh..wh.plnk/1.2", "")},
			map[string]string{"f": "4"}},
		{"through an absolute symlink", []tar.Header{file(".wh.d", ""), dir("run"), symlink("var", "/run"), file("var/pid", "7")},
			map[string]string{"f": "4", "run/": "", "run/pid": "7", "var": "-> /run"}},
		{"through a dangling symlink", []tar.Header{file(".wh.d", ""), symlink("var", "/run/deep"), file("var/pid", "7")},
			map[string]string{"f": "4", "run/": "", "run/deep/": "", "run/deep/pid": "7", "var": "-> /run/deep"}},
		{"parents are implied", []tar.Header{file(".wh.d", ""), file("p/q/r", "r")},
			map[string]string{"f": "4", "p/": "", "p/q/": "", "p/q/r": "r"}},
		{"hard links", []tar.Header{file(".wh.d", ""), file("g", "g"), hardlink("h", "/g"), hardlink("i", "f")},
			map[string]string{"f": "4", "g": "g", "h": "g", "i": "4"}},
		{"whiteout through an alias", []tar.Header{symlink("alias", "d"), file("d/a", "new"), file("alias/.wh..wh..opq", "")},
			map[string]string{"d/": "", "d/a": "new", "alias": "-> d", "f": "4"}},
		{"names with a root", []tar.Header{file("./.wh.d", ""), file("/abs", "1"), file("x/../y", "2")},
			map[string]string{"f": "4", "abs": "1", "y": "2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := unpack(t, tarOf(t, base...), tarOf(t, tc.top...))
			must(t, err)
			if got := tree(t, d); !maps.Equal(got, tc.want) {
				t.Errorf("got  %v\nwant %v", got, tc.want)
			}
		})
	}
}

func TestAttributes(t *testing.T) {
	with := func(h tar.Header, f func(*tar.Header)) tar.Header { f(&h); return h }
	d, err := unpack(t, tarOf(t,
		with(dir("."), func(h *tar.Header) { h.Mode = 0o711 }),
		with(dir("etc"), func(h *tar.Header) { h.Mode, h.Uid = 0o1770, 5 }),
		with(file("etc/su", "x"), func(h *tar.Header) {
			h.Mode, h.Uid, h.Gid = 0o6755, 1000, 2000
			h.PAXRecords = map[string]string{
				paxXattr + "security.capability":   netBind,
				paxXattr + "user.note":             "hi",
				paxXattr + "trusted.overlay.foo":   "y",
				paxXattr + "security.selinux":      "label",
				paxXattr + "user.overlay.redirect": "/",
			}
		}),
		with(symlink("etc/l", "/nowhere"), func(h *tar.Header) { h.Uid = 7 }),
		tar.Header{Typeflag: tar.TypeChar, Name: "etc/null", Mode: 0o666, Devmajor: 1, Devminor: 3, ModTime: someTime},
		tar.Header{Typeflag: tar.TypeBlock, Name: "etc/sd", Mode: 0o660, Devmajor: 8, Devminor: 300, ModTime: someTime},
		tar.Header{Typeflag: tar.TypeFifo, Name: "etc/pipe", Mode: 0o622, ModTime: someTime},
	))
	must(t, err)
	for name, want := range map[string]unix.Stat_t{
		"":         {Mode: unix.S_IFDIR | 0o711},
		"etc":      {Mode: unix.S_IFDIR | 0o1770, Uid: 5},
		"etc/su":   {Mode: unix.S_IFREG | 0o6755, Uid: 1000, Gid: 2000},
		"etc/l":    {Mode: unix.S_IFLNK | 0o777, Uid: 7},
		"etc/null": {Mode: unix.S_IFCHR | 0o666, Rdev: unix.Mkdev(1, 3)},
		"etc/sd":   {Mode: unix.S_IFBLK | 0o660, Rdev: unix.Mkdev(8, 300)},
		"etc/pipe": {Mode: unix.S_IFIFO | 0o622},
	} {
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(d, name), &st))
		if st.Mode != want.Mode || st.Uid != want.Uid || st.Gid != want.Gid || st.Rdev != want.Rdev {
			t.Errorf("%q: mode %o owner %d:%d device %x, want %o %d:%d %x", name, st.Mode, st.Uid, st.Gid, st.Rdev, want.Mode, want.Uid, want.Gid, want.Rdev)
		}
		if st.Mtim.Nano() != someTime.UnixNano() {
			t.Errorf("%q: time %d, want %d", name, st.Mtim.Nano(), someTime.UnixNano())
		}
	}
	got, err := xattrs(filepath.Join(d, "etc/su"))
	must(t, err)
	if len(got) != 2 || got[paxXattr+"security.capability"] != netBind || got[paxXattr+"user.note"] != "hi" {
		t.Errorf("attributes %q", got)
	}
	list := make([]byte, 4096)
	n, err := unix.Llistxattr(filepath.Join(d, "etc/su"), list)
	if err != nil || strings.Contains(string(list[:n]), "overlay") {
		t.Errorf("attributes %q, %v", list[:n], err)
	}
}

// TestHostile: whatever a layer says, nothing outside is read or changed. Each
// case must fail, or do what it does inside (want nil).
func TestHostile(t *testing.T) {
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	up := strings.Repeat("../", 20)
	for _, tc := range []struct {
		name string
		is   error
		top  []tar.Header
	}{
		{"dot dot", ErrUnsafe, []tar.Header{file("../evil", "x")}},
		{"dot dot inside", ErrUnsafe, []tar.Header{file("a/../../evil", "x")}},
		{"dot dot absolute", ErrUnsafe, []tar.Header{file("/../evil", "x")}},
		{"only dot dot", ErrUnsafe, []tar.Header{dir("..")}},
		{"root is a file", ErrUnsafe, []tar.Header{file(".", "x")}},
		{"root is a symlink", ErrUnsafe, []tar.Header{symlink("./", outside)}},
		{"whiteout of dot dot", ErrUnsafe, []tar.Header{dir("a"), file("a/.wh...", "")}},
		{"whiteout of dot", ErrUnsafe, []tar.Header{dir("a"), file("a/.wh..", "")}},
		{"whiteout of nothing", ErrUnsafe, []tar.Header{file(".wh.", "")}},
		{"hard link outside", ErrUnsafe, []tar.Header{hardlink("h", up+secret)}},
		{"hard link to the root", ErrUnsafe, []tar.Header{hardlink("h", "/")}},
		{"hard link to an absolute name", os.ErrNotExist, []tar.Header{hardlink("h", secret)}},
		{"hard link through a symlink", os.ErrNotExist, []tar.Header{symlink("s", up+outside), hardlink("h", "s/secret")}},
		{"hard link to a symlink, then write", nil, []tar.Header{symlink("s", secret), hardlink("h", "s"), file("h", "evil")}},
		{"write through an absolute symlink", nil, []tar.Header{symlink("s", outside), file("s/secret", "evil")}},
		{"write through a relative symlink", nil, []tar.Header{symlink("s", up+outside), file("s/secret", "evil")}},
		{"write through symlinks in turn", nil, []tar.Header{symlink("a", ".."), symlink("b", "a/.."), symlink("c", "b/"+up+outside), file("c/secret", "evil")}},
		{"write to a symlink", nil, []tar.Header{symlink("s", secret), file("s", "evil")}},
		{"directory on a symlink", nil, []tar.Header{symlink("s", outside), dir("s"), file("s/secret", "evil")}},
		{"times through a symlink", nil, []tar.Header{dir("s"), file(".wh.s", ""), symlink("s", outside)}},
		{"whiteout through a symlink", nil, []tar.Header{symlink("s", outside), file("s/.wh.secret", "")}},
		{"opaque through a symlink", nil, []tar.Header{symlink("s", outside), file("s/.wh..wh..opq", "")}},
		{"device through a symlink", nil, []tar.Header{symlink("s", outside), {Typeflag: tar.TypeChar, Name: "s/secret", Devmajor: 1, Devminor: 3}}},
		{"proc magic", syscall.ENOTDIR, []tar.Header{file("x", ""), symlink("s", "/proc/self/root"), file("x/y", "")}},
		{"symlink loop", unix.ELOOP, []tar.Header{symlink("a", "b"), symlink("b", "a"), file("a/x", "evil")}},
		{"dangling symlink to itself", unix.ELOOP, []tar.Header{symlink("a", "a/b"), file("a/x", "evil")}},
		{"owner out of range", nil, []tar.Header{{Typeflag: tar.TypeReg, Name: "a", Uid: 1<<32 - 2}}},
		{"name too long", unix.ENAMETOOLONG, []tar.Header{file(strings.Repeat("n", 300), "")}},
		{"path too long", unix.ENAMETOOLONG, []tar.Header{file(strings.Repeat("n/", 3000)+"x", "")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			must(t, os.WriteFile(secret, []byte("kept"), 0o600))
			must(t, os.Chtimes(outside, someTime.Add(1), someTime.Add(1)))
			d, err := unpack(t, tarOf(t, dir("d")), tarOf(t, tc.top...))
			if !errors.Is(err, tc.is) || (tc.is == nil) != (err == nil) {
				t.Errorf("got %v, want %v", err, tc.is)
			}
			if got := tree(t, outside); len(got) != 1 || got["secret"] != "kept" {
				t.Errorf("outside was changed: %v", got)
			}
			if st, err := os.Stat(outside); err != nil || !st.ModTime().Equal(someTime.Add(1)) {
				t.Errorf("outside was touched: %v", err)
			}
			beside, err2 := os.ReadDir(filepath.Dir(d))
			must(t, err2)
			if want := map[bool]int{true: 1, false: 0}[err == nil]; len(beside) != want {
				t.Errorf("%d entries beside the root filesystem, want %d", len(beside), want)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	big := tarOf(t, file("a", strings.Repeat("a", 3000)), file("b", strings.Repeat("b", 3000)))
	for name, l := range map[string]limits{
		"files":   {bytes: 5000, entries: 10},
		"stream":  {bytes: 6500, entries: 10},
		"entries": {bytes: 1 << 20, entries: 1},
	} {
		t.Run(name, func(t *testing.T) {
			im := openAMD64(t, ociImage(t, gzipped, big).archive(t))
			im.limits = l
			d := t.TempDir()
			if err := im.Unpack(d); !errors.Is(err, ErrTooLarge) {
				t.Errorf("got %v", err)
			}
			if left := tree(t, d); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestUnpackTarget(t *testing.T) {
	im := openAMD64(t, ociImage(t, nil, tarOf(t, file("a", "1"))).archive(t))
	d := t.TempDir()
	must(t, im.Unpack(d))
	if err := im.Unpack(d); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("got %v", err)
	}
	if tree(t, d)["a"] != "1" {
		t.Error("the refused directory was changed")
	}
	if err := im.Unpack(filepath.Join(d, "a")); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("got %v", err)
	}
}

// TestTruncatedLayer has a layer that ends early, with digests that agree.
func TestTruncatedLayer(t *testing.T) {
	whole := tarOf(t, file("a", strings.Repeat("a", 3000)))
	if _, err := unpack(t, whole[:2000]); err == nil || !strings.Contains(err.Error(), "layer 1 of 1") || !strings.Contains(err.Error(), "truncated") {
		t.Errorf("got %v", err)
	}
	short := func(t testing.TB, raw []byte) []byte { z := gzipped(t, raw); return z[:len(z)-10] }
	im := openAMD64(t, ociImage(t, short, whole).archive(t))
	if err := im.Unpack(t.TempDir()); err == nil || !strings.Contains(err.Error(), "truncated") {
		t.Errorf("got %v", err)
	}
}

// FuzzApply: no layer makes anything appear beside the root, or panics.
func FuzzApply(f *testing.F) {
	f.Add(tarOf(f, dir("d"), file("d/a", "1"), symlink("s", "/d"), hardlink("h", "d/a"), file("s/.wh.a", "")))
	f.Add(tarOf(f, symlink("s", "../.."), file("s/x", "1"), file("d/.wh..wh..opq", "")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		top := t.TempDir()
		im := &Image{
			files:  fuzzFiles(raw),
			limits: limits{bytes: 1 << 20, entries: 100},
			layers: []layer{{name: "l", size: -1, diffID: digest.FromBytes(raw)}, {name: "l", size: -1, diffID: digest.FromBytes(raw)}},
		}
		_ = im.Unpack(filepath.Join(top, "rootfs"))
		left, err := os.ReadDir(top)
		if err != nil || len(left) > 1 || (len(left) == 1 && left[0].Name() != "rootfs") {
			t.Fatalf("beside the root: %v, %v", left, err)
		}
	})
}
