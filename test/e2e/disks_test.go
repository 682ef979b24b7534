package e2e

import (
	"os"
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

// TestEmulatedDisk: the machine has the disks that the rules name, and what was written
// is on the host's when the container has ended.
func TestEmulatedDisk(t *testing.T) {
	h, d, other := newHost(t), loop.New(t, 1<<20), loop.New(t, 1<<20)
	h.emulate()
	out := h.runScript("stat -c '%a' /dev/xvda; printf text >/dev/xvda; for try in '<>/dev/xvdb' '</dev/xvdc'; do if eval true 2>/dev/null $try; then exit 3; fi; done",
		disk(d, "/dev/xvda", "rwm"), disk(other, "/dev/xvdb", "r"), device("/dev/xvdc", "b", 7, 4000, ""))
	equal(t, "mode of the node", out, "640")
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

// TestNoSuchDevice: a device that cannot be had is refused by its name, unless nobody
// asked for it in particular.
func TestNoSuchDevice(t *testing.T) {
	h, e, empty, d := newHost(t), newHost(t), loop.New(t, 0), loop.New(t, 1<<20)
	e.emulate()
	for want, change := range map[string]edit{
		"linux.devices[0]: /dev/x: block device 7:4000 of the host: there is none": device("/dev/x", "b", 7, 4000, "rwm"),
		"of the host: it is empty": disk(empty, "/dev/x", "rwm"),
	} {
		contains(t, "error", e.run(1, bundle(t, args("true"), change)).stderr, want)
	}
	for want, change := range map[string]edit{
		"linux.devices: /dev/x: the guest's kernel has no char device 10:4000": device("/dev/x", "c", 10, 4000, "rw"),
		"/dev/x: the guest's kernel has no char device 250:7":                  device("/dev/x", "c", 250, 7, "r"),
	} {
		contains(t, "error", h.run(1, bundle(t, args("true"), change)).stderr, want)
	}
	h.runScript(": <>/dev/fuse && : <>/dev/net/tun && : </dev/y", device("/dev/fuse", "c", 10, 229, "rw"), device("/dev/net/tun", "c", 10, 200, "rw"),
		device("/dev/y", "c", 1, 5, "r"))

	// What a privileged container gets: all devices, and one rule.
	out := h.runScript("ls /dev/fuse /dev/x /dev/disk 2>/dev/null; exec true", device("/dev/fuse", "c", 10, 229, ""), device("/dev/x", "c", 10, 4000, ""),
		disk(d, "/dev/disk", ""), rule("", nil, nil, "rwm"))
	equal(t, "nodes", out, "/dev/fuse")
}

// TestJoinWithDisk: a machine that runs takes no disk.
func TestJoinWithDisk(t *testing.T) {
	h, d := newHost(t), loop.New(t, 1<<20)
	first := h.start()
	r := h.kata("create", "--bundle", bundle(t, sharing(h.state(first).PID, specs.NetworkNamespace), disk(d, "/dev/xvda", "rwm")), h.newID())
	if r.code == 0 {
		t.Fatal(r)
	}
	contains(t, "error", r.stderr, "linux.devices[0]: /dev/xvda: a disk cannot be attached to a machine that runs")
}
