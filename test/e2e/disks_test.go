package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/test/loop"
)

// device gives a container a device of the host, by the rule that engines write for
// --device; without an access there is no rule.
func device(path, kind string, major, minor uint32, access string) edit {
	return func(s *specs.Spec) {
		s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: path, Type: kind, Major: int64(major), Minor: int64(minor),
			FileMode: ptr(os.FileMode(0o640))})
		if access != "" {
			rule(kind, ptr(int64(major)), ptr(int64(minor)), access)(s)
		}
	}
}

func rule(kind string, major, minor *int64, access string) edit {
	return func(s *specs.Spec) {
		s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{Allow: true, Type: kind, Major: major, Minor: minor, Access: access})
	}
}

func disk(d *loop.Device, path, access string) edit {
	return device(path, "b", d.Major, d.Minor, access)
}

// hostPrograms are the host's, in a container of busybox.
func hostPrograms(s *specs.Spec) {
	for _, dir := range []string{"/usr", "/lib", "/lib64"} {
		s.Mounts = append(s.Mounts, bind(dir, dir, "ro"))
	}
}

// TestDisk makes a file system on a disk and leaves without a word: what was written
// is on the host's device, because the container has ended.
func TestDisk(t *testing.T) {
	h, d := newHost(t), loop.New(t, 16<<20)
	const script = "stat -c '%a %u %g' /dev/xvda; set -e; /usr/sbin/mkfs.ext4 -q -O ^has_journal /dev/xvda; mkdir /mnt; mount -t ext4 /dev/xvda /mnt; echo text >/mnt/file"
	out := h.runScript(script, hostPrograms, disk(d, "/dev/xvda", "rwm"), capabilities("CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"), func(s *specs.Spec) {
		s.Linux.Devices[0].UID, s.Linux.Devices[0].GID = ptr(uint32(11)), ptr(uint32(12))
	})
	equal(t, "node", out, "640 11 12")
	equal(t, "file on the disk", debugfs(t, d.Path, "cat file"), "text\n")

	// With runc, too, a disk can be mounted only by those who may mount.
	r := h.run(1, bundle(t, args("mount", "-t", "ext4", "/dev/xvda", "/tmp"), disk(d, "/dev/xvda", "rwm")))
	contains(t, "mount", r.stderr, "permission denied")
}

// debugfs looks into an ext4 file system without the help of a kernel.
func debugfs(t *testing.T, file, command string) string {
	t.Helper()
	out, err := exec.Command("/usr/sbin/debugfs", "-R", command, file).Output()
	if err != nil {
		t.Fatalf("debugfs of the package e2fsprogs: %v", err)
	}
	return string(out)
}

// TestEmulatedDisk is the same in a machine with a disk controller.
func TestEmulatedDisk(t *testing.T) {
	h, d, other := newHost(t), loop.New(t, 1<<20), loop.New(t, 1<<20)
	h.emulate()
	h.runScript("printf text >/dev/xvda; if true 2>/dev/null <>/dev/xvdb; then exit 3; fi", disk(d, "/dev/xvda", "rwm"), disk(other, "/dev/xvdb", "r"))
	equal(t, "disk", head(t, d), "text")
}

func head(t *testing.T, d *loop.Device) string {
	t.Helper()
	f, err := os.Open(d.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 4)
	if _, err := f.Read(b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestDiskAccess: what the rules do not allow is not to be had, not even by those who
// have all of the guest, and an update of the rules cannot add it.
func TestDiskAccess(t *testing.T) {
	h, ro, rw, none := newHost(t), loop.New(t, 1<<20), loop.New(t, 1<<20), loop.New(t, 1<<20)
	writeFile(t, ro.File, strings.Repeat("r", 1<<20))
	id := h.start(disk(ro, "/dev/ro", "r"), disk(rw, "/dev/rw", "rw"), disk(none, "/dev/none", ""))
	h.must("exec", id, "sh", "-c", "head -c 4 /dev/ro | grep -q rrrr && printf text >/dev/rw")
	for _, try := range []string{": <>/dev/ro", ": <>/dev/none", ": </dev/none"} {
		if r := h.kata("exec", id, "sh", "-c", try); r.code == 0 {
			t.Errorf("%q works", try)
		}
	}
	update := func(rules string) {
		t.Helper()
		if r := h.kataInput(strings.NewReader(`{"devices": [`+rules+`]}`), "update", "--resources", "-", id); r.code != 0 {
			t.Fatal(r)
		}
	}
	update(`{"allow": true, "access": "rwm"}`)
	if r := h.kata("exec", id, "sh", "-c", "blockdev --setrw /dev/ro; printf x >/dev/ro && sync"); r.code == 0 {
		t.Errorf("a disk that was given for reading was written: %s", r)
	}
	h.must("exec", id, "sh", "-c", ": <>/dev/rw")
	update(fmt.Sprintf(`{"allow": true, "type": "b", "major": %d, "minor": %d, "access": "r"}`, rw.Major, rw.Minor))
	h.must("exec", id, "sh", "-c", ": </dev/rw && if true 2>/dev/null <>/dev/rw || true 2>/dev/null </dev/ro; then exit 3; fi")
	equal(t, "read-only disk", head(t, ro), "rrrr")

	// With the container its data goes to the host, however it ends.
	update(`{"allow": true, "access": "rwm"}`)
	h.must("exec", id, "sh", "-c", "exec 9<>/dev/rw; printf last >&9; exec sleep 1000000 >/dev/null & sleep 0")
	h.must("delete", "--force", id)
	equal(t, "disk after delete --force", head(t, rw), "last")
}

// TestVolumeOfDisk: a bind mount of a node is a disk if a rule names it.
func TestVolumeOfDisk(t *testing.T) {
	h, d := newHost(t), loop.New(t, 1<<20)
	major, minor := ptr(int64(d.Major)), ptr(int64(d.Minor))
	h.runScript("printf text >/data/disk", mounts(bind(d.Path, "/data/disk")), rule("b", major, minor, "rw"))
	equal(t, "disk", head(t, d), "text")
	out := h.runScript("head -c 4 /dev/disk; if printf x 2>/dev/null >/dev/disk; then exit 3; fi", mounts(bind(d.Path, "/dev/disk", "ro")), rule("b", major, minor, "rw"))
	equal(t, "disk", out, "text")
	r := h.run(1, bundle(t, script("head -c 4 /dev/disk"), mounts(bind(d.Path, "/dev/disk"))))
	if r.stdout != "" {
		t.Errorf("a disk that no rule names was read: %s", r)
	}
}

// TestNoSuchDevice: a device that cannot be had is refused by its name, unless nobody
// asked for it in particular.
func TestNoSuchDevice(t *testing.T) {
	h, empty, d := newHost(t), loop.New(t, 0), loop.New(t, 1<<20)
	for want, e := range map[string]edit{
		"linux.devices[0]: /dev/x: block device 7:4000 of the host: there is none": device("/dev/x", "b", 7, 4000, "rwm"),
		"of the host: it is empty": disk(empty, "/dev/x", "rwm"),
		"linux.devices: /dev/x: the guest's kernel has no char device 10:4000": device("/dev/x", "c", 10, 4000, "rw"),
		"/dev/x: the guest's kernel has no char device 250:7":                  device("/dev/x", "c", 250, 7, "r"),
	} {
		r := h.run(1, bundle(t, args("true"), e))
		contains(t, "error", r.stderr, want)
	}
	h.runScript(": <>/dev/fuse && : <>/dev/net/tun && : </dev/y", device("/dev/fuse", "c", 10, 229, "rw"), device("/dev/net/tun", "c", 10, 200, "rw"),
		device("/dev/y", "c", 1, 5, "r"))

	// What a privileged container gets: all devices, and one rule.
	out := h.runScript("ls /dev/fuse /dev/x /dev/disk 2>/dev/null; exec true", device("/dev/fuse", "c", 10, 229, ""), device("/dev/x", "c", 10, 4000, ""),
		disk(d, "/dev/disk", ""), rule("", nil, nil, "rwm"))
	equal(t, "nodes", out, "/dev/fuse")
}

// TestJoinWithDisk: not every machine that runs takes a disk (TestDiskJoins is about one that does).
func TestJoinWithDisk(t *testing.T) {
	h, d := newHost(t), loop.New(t, 1<<20)
	first := h.start()
	r := h.kata("create", "--bundle", bundle(t, sharing(h.state(first).PID, specs.NetworkNamespace), disk(d, "/dev/xvda", "rwm")), h.newID())
	if r.code == 0 {
		t.Fatal(r)
	}
	contains(t, "error", r.stderr, "linux.devices[0]: /dev/xvda: a disk cannot be attached to a machine of this kind while it runs")
}

// TestDiskLimits: limits of a disk are by the host's number.
func TestDiskLimits(t *testing.T) {
	h, d := newHost(t), loop.New(t, 1<<20)
	id := h.start(disk(d, "/dev/xvda", "rwm"), func(s *specs.Spec) {
		limit := specs.LinuxThrottleDevice{Rate: 1 << 20}
		limit.Major, limit.Minor = int64(d.Major), int64(d.Minor)
		s.Linux.Resources.BlockIO = &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{limit}}
	})
	out := h.must("exec", id, "sh", "-c", "cat /sys/fs/cgroup/io.max; printf '%d:%d\n' $(stat -c '0x%t 0x%T' /dev/xvda)")
	lines := strings.Split(out, "\n")
	if b, _ := json.Marshal(lines); len(lines) != 3 || lines[0] != lines[1]+" rbps=1048576 wbps=max riops=max wiops=max" {
		t.Errorf("io.max and number: %s", b)
	}
}
