package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func tmpfs(target string, options ...string) specs.Mount {
	return specs.Mount{Destination: target, Type: "tmpfs", Source: "tmpfs", Options: options}
}

// attributesOf prints what mountinfo says of mounts: options, and propagation by its kind.
const attributesOf = `sed -n 's|^[^ ]* [^ ]* [^ ]* [^ ]* \(/mnt[^ ]*\) \([^ ]*\) \(.*\)- .*|\1 \2 \3|p' /proc/self/mountinfo | sed 's/:[0-9]*//g; s/ $//' | sort`

func TestMountAttributes(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct {
		name, want string
		mounts     []specs.Mount
	}{
		{"recursive", "/mnt ro,nosuid,nodev,noexec,noatime,nodiratime,nosymfollow",
			[]specs.Mount{bind(dir, "/mnt", "rro", "rnosuid", "rnodev", "rnoexec", "rnoatime", "rnodiratime", "rnosymfollow")}},
		{"recursive, of the guest's", "/mnt ro,nosuid,relatime", []specs.Mount{tmpfs("/mnt", "rnoatime", "ratime", "rro", "rnosuid")}},
		{"undone", "/mnt rw,relatime", []specs.Mount{tmpfs("/mnt", "nosuid", "rsuid", "noexec", "rexec")}},
		{"strict times", "/mnt rw", []specs.Mount{bind(dir, "/mnt", "strictatime")}},
		{"shared", "/mnt rw,relatime shared", []specs.Mount{bind(dir, "/mnt", "rshared")}},
		{"shared slave", "/mnt rw,relatime shared", []specs.Mount{tmpfs("/mnt", "rslave", "shared")}},
		{"private", "/mnt rw,relatime", []specs.Mount{tmpfs("/mnt", "shared", "rprivate")}},
		{"unbindable", "/mnt rw,relatime unbindable", []specs.Mount{bind(dir, "/mnt", "unbindable")}},
		{"remounted", "/mnt ro,nosuid,relatime", []specs.Mount{bind(dir, "/mnt"), {Destination: "/mnt", Type: "bind", Options: []string{"bind", "remount", "ro", "nosuid"}}}},
		{"nested in what is read-only", "/mnt ro,relatime\n/mnt/a rw,relatime\n/mnt/a/b rw,relatime",
			[]specs.Mount{tmpfs("/mnt", "ro"), tmpfs("/mnt/a/b"), bind(dir, "/mnt/a")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			equal(t, "mounts", newHost(t).runScript(attributesOf, mounts(tc.mounts...)), tc.want)
		})
	}
}

// The options of a bind mount are for the container: the host's mount is as it was.
func TestRemountOfTheRoot(t *testing.T) {
	got := newHost(t).runScript("touch /file 2>&1; touch /mnt/file && echo written",
		mounts(bind(t.TempDir(), "/mnt"), specs.Mount{Destination: "/", Options: []string{"remount", "ro"}}))
	equal(t, "output", got, "touch: /file: Read-only file system\nwritten")
}

func TestRootfsPropagation(t *testing.T) {
	for how, want := range map[string]string{"": "", "private": "", "rshared": "shared", "unbindable": "unbindable"} {
		t.Run(how, func(t *testing.T) {
			got := newHost(t).runScript(`sed -n 's|^[^ ]* [^ ]* [^ ]* [^ ]* / [^ ]* \(.*\)- .*|\1|p' /proc/self/mountinfo | sed 's/:[0-9]*//g; s/ $//'`,
				func(s *specs.Spec) { s.Linux.RootfsPropagation = how })
			equal(t, "propagation", got, want)
		})
	}
}

func TestTmpCopyUp(t *testing.T) {
	h := newHost(t)
	dir := bundle(t, script(`cd /data && stat -c '%n %a %u:%g %Y' . file dir dir/inner && cat file dir/inner && readlink link && test -p fifo && echo x > new`),
		mounts(tmpfs("/data", "tmpcopyup"), tmpfs("/none", "tmpcopyup")))
	data := filepath.Join(dir, "rootfs/data")
	for _, err := range []error{os.MkdirAll(filepath.Join(data, "dir"), 0o750), os.Symlink("/nowhere", filepath.Join(data, "link")), makeFIFO(filepath.Join(data, "fifo"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(data, "file"), "file\n")
	writeFile(t, filepath.Join(data, "dir/inner"), "inner\n")
	for _, err := range []error{os.Chown(filepath.Join(data, "file"), 12, 34), os.Chmod(filepath.Join(data, "file"), os.ModeSetuid|0o755), os.Chmod(data, 0o751)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	touchAt(t, 1e9, filepath.Join(data, "file"), filepath.Join(data, "dir/inner"), filepath.Join(data, "dir"))
	r := h.run(0, dir)
	_, got, _ := strings.Cut(r.stdout, "\n") // the directory's own time is that of the copy
	equal(t, "output", got, "file 4755 12:34 1000000000\ndir 750 0:0 1000000000\ndir/inner 644 0:0 1000000000\nfile\ninner\n/nowhere\n")
	contains(t, "directory", r.stdout, ". 751 0:0 ")
	if _, err := os.Stat(filepath.Join(data, "new")); err == nil {
		t.Error("a file of the tmpfs is in the image")
	}
}

func TestMountData(t *testing.T) {
	h := newHost(t)
	got := h.runScript("df -k /mnt/shm | tail -1 | awk '{print $2}'; stat -c %a /mnt/shm; grep -o 'gid=7,mode=600,ptmxmode=640' /proc/mounts; stat -c %a /mnt/pts/ptmx",
		mounts(tmpfs("/mnt/shm", "size=65k", "mode=1770"), specs.Mount{Destination: "/mnt/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0640", "mode=0600", "gid=7"}}))
	equal(t, "output", got, "68\n1770\ngid=7,mode=600,ptmxmode=640\n640")
	h.refused(1, []string{"mounts[7]", `option "size=much"`, "Bad value"}, "create", bundle(t, mounts(tmpfs("/mnt", "size=much"))))
	h.refused(1, []string{"mounts[7]", `option "color=red"`, "Unknown parameter"}, "create", bundle(t, mounts(tmpfs("/mnt", "color=red"))))
}

// Owners that a mount maps are seen mapped; where the file system cannot, the field is
// named.
func TestIDMappedMount(t *testing.T) {
	h := newHost(t)
	map1000 := func(m specs.Mount) specs.Mount {
		m.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 10}}
		m.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 2000, Size: 10}}
		return m
	}
	owner := script("stat -c %u:%g /mnt")
	equal(t, "owner in a tmpfs", h.run(0, bundle(t, owner, mounts(map1000(tmpfs("/mnt"))))).stdout, "1000:2000\n")
	dir := bundle(t, owner, mounts(map1000(bind(t.TempDir(), "/mnt"))))
	if r := h.kata("run", "--bundle", dir, h.newID()); r.code == 0 {
		equal(t, "owner in the host's files", r.stdout, "1000:2000\n")
	} else {
		h.refused(1, []string{"mounts[7].uidMappings", "cannot map ids"}, "create", dir)
	}
}

// What is mounted in a root filesystem that cannot be written may still need a place.
func TestReadonlyRootGetsItsMountPoints(t *testing.T) {
	h := newHost(t)
	source := t.TempDir()
	writeFile(t, filepath.Join(source, "file"), "from the host\n")
	dir := bundle(t, script("pwd; cat /new/file; touch /new/tmpfs/a && touch /b"), readonlyRoot,
		mounts(bind(filepath.Join(source, "file"), "/new/file"), tmpfs("/new/tmpfs"), bind(source, "/out/dir"), tmpfs("/dev/nested")),
		func(s *specs.Spec) { s.Process.Cwd = "/new/cwd" })
	if err := os.Symlink("/../tmp", filepath.Join(dir, "rootfs/out")); err != nil {
		t.Fatal(err)
	}
	r := h.run(1, dir)
	equal(t, "output", r.stdout, "/new/cwd\nfrom the host\n")
	contains(t, "error", r.stderr, "touch: /b: Read-only file system")
	if _, err := os.Stat(filepath.Join(dir, "rootfs/tmp/dir")); err != nil {
		t.Errorf("a link of the image was not followed inside of it: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "rootfs/dev/nested")); err == nil {
		t.Error("the mount point of what is in another mount is in the image")
	}
}

// Without a mount at /dev the nodes are in the image's directory, which is the host's.
func TestDevicesWithoutTmpfs(t *testing.T) {
	got := newHost(t).runScript("stat -c '%n %a %u:%g %t:%T' /dev/null /dev/mine/null; head -c 2 /dev/mine/null | wc -c; echo x > /dev/null && head -c 4 /dev/zero | wc -c", func(s *specs.Spec) {
		s.Mounts = []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}}
		s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/mine/null", Type: "c", Major: 1, Minor: 5, FileMode: ptr(os.FileMode(0o640)), UID: ptr(uint32(7))}}
		s.Process.Capabilities.Effective = append(s.Process.Capabilities.Effective, "CAP_DAC_OVERRIDE")
		s.Process.Capabilities.Permitted = s.Process.Capabilities.Effective
		s.Process.Capabilities.Bounding = s.Process.Capabilities.Effective
	})
	equal(t, "output", got, "/dev/null 666 0:0 1:3\n/dev/mine/null 640 7:0 1:5\n2\n4")
}
