package compile

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"kata/agent/api"
	"kata/agent/devicefilter"
)

// Number is that of a device.
type Number struct{ Major, Minor uint32 }

// Disks are the block devices of the host that a machine has, with their numbers in
// the guest.
type Disks map[Number]Number

// Disk is a block device of the host that a container is to have.
type Disk struct {
	Field  string // of the configuration
	Path   string // in the container
	Number Number
	Write  bool
}

// Plug gives the container's disks the numbers that they have in the guest, wherever
// the configuration has the host's: its nodes, its rules about devices, its limits.
func (c *Container) Plug(disks Disks) error {
	res, err := CompileResources(c.resources, disks)
	if err != nil {
		return err
	}
	c.Request.Cgroup = res.Files
	if !res.Unrestricted {
		c.Request.DeviceFilter = res.DeviceFilter
	}
	for i := range c.Request.Devices {
		d := &c.Request.Devices[i]
		if guest, ok := disks[Number{d.Major, d.Minor}]; ok && d.Mode&unix.S_IFMT == unix.S_IFBLK {
			d.Major, d.Minor = guest.Major, guest.Minor
		}
	}
	return nil
}

// devices compiles linux.devices. A device that no rule lets the container use is a
// node and nothing else, as with runc. One that a rule names is to be had; one that
// is there because every device is allowed (engines list all of the host's for a
// privileged container) only if the guest has it, and a disk of the host's never.
func (c *Container) devices(list []specs.LinuxDevice, rules []devicefilter.Rule) {
	c.Request.Devices = append(c.Request.Devices, defaultDevices...)
	types := map[string]uint32{"c": unix.S_IFCHR, "u": unix.S_IFCHR, "b": unix.S_IFBLK, "p": unix.S_IFIFO}
	for i, d := range list {
		dev := api.Device{Path: d.Path, Mode: types[d.Type] | 0o666, Major: uint32(d.Major), Minor: uint32(d.Minor)}
		if d.FileMode != nil {
			dev.Mode = types[d.Type] | uint32(d.FileMode.Perm())
		}
		if d.UID != nil {
			dev.UID = *d.UID
		}
		if d.GID != nil {
			dev.GID = *d.GID
		}
		if d.Type == "b" {
			g := judge(rules, devicefilter.Block, d.Major, d.Minor)
			if g.usable() && !g.named {
				continue
			}
			c.disk(fmt.Sprintf("linux.devices[%d]", i), &dev, g)
		} else if d.Type != "p" {
			need(&dev, judge(rules, devicefilter.Char, d.Major, d.Minor))
		}
		c.Request.Devices = append(c.Request.Devices, dev)
	}
}

// disk has a device attached if it may be used.
func (c *Container) disk(name string, d *api.Device, g grant) {
	if !g.usable() {
		return
	}
	disk := Disk{Field: name, Path: d.Path, Number: Number{d.Major, d.Minor}, Write: g.access&devicefilter.Write != 0}
	if i := slices.IndexFunc(c.Disks, func(o Disk) bool { return o.Number == disk.Number }); i >= 0 {
		c.Disks[i].Write = c.Disks[i].Write || disk.Write // one disk with two nodes
		return
	}
	c.Disks = append(c.Disks, disk)
}

// need says what must be behind the node of a character device.
func need(d *api.Device, g grant) {
	switch {
	case !g.usable():
		return
	case g.named:
		d.Need = api.NeedRequired
	default:
		d.Need = api.NeedIfThere
	}
	d.Name = kernelName(d.Major, d.Minor)
}

// kernelName is what the host's kernel calls a character device, "" if it has none.
func kernelName(major, minor uint32) string {
	b, err := os.ReadFile(fmt.Sprintf("/sys/dev/char/%d:%d/uevent", major, minor))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "DEVNAME="); ok {
			return strings.TrimSpace(name)
		}
	}
	return ""
}

// volume makes a mount whose source is a block device a node of the container, if a
// rule names the device. Without one nobody could open it: it is left to be a file.
func (c *Container) volume(i int, m *api.Mount, fi os.FileInfo, readOnly bool, rules []devicefilter.Rule) (bool, error) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || st.Mode&unix.S_IFMT != unix.S_IFBLK || (m.Flags&unix.MS_NODEV|m.AttrSet&unix.MOUNT_ATTR_NODEV) != 0 {
		return false, nil
	}
	major, minor := unix.Major(st.Rdev), unix.Minor(st.Rdev)
	g := judge(rules, devicefilter.Block, int64(major), int64(minor))
	if !g.usable() || !g.named {
		return false, nil
	}
	name := fmt.Sprintf("mounts[%d].source", i)
	if c.Request.Namespaces&unix.CLONE_NEWUSER != 0 {
		return false, field(name, "%s: a block device as a volume has no owner in a user namespace; give it in linux.devices", m.Source)
	}
	if readOnly {
		g.access &^= devicefilter.Write
	}
	dev := api.Device{Path: m.Target, Mode: st.Mode, Major: major, Minor: minor, UID: st.Uid, GID: st.Gid}
	c.disk(name, &dev, g)
	c.Request.Devices = append(c.Request.Devices, dev)
	return true, nil
}

// grant is what rules say about a device: the kinds of access, and whether one that
// lets it be read or written is about its major number.
type grant struct {
	access int32
	named  bool
}

func (g grant) usable() bool { return g.access&(devicefilter.Read|devicefilter.Write) != 0 }

// judge asks the rules: the last one about a kind of access counts.
func judge(rules []devicefilter.Rule, kind int32, major, minor int64) (g grant) {
	for _, bit := range []int32{devicefilter.Mknod, devicefilter.Read, devicefilter.Write} {
		for _, r := range slices.Backward(rules) {
			if r.Access&bit == 0 || r.Kind != 0 && r.Kind != kind || r.Major >= 0 && r.Major != major || r.Minor >= 0 && r.Minor != minor {
				continue
			}
			if r.Allow {
				g.access |= bit
				g.named = g.named || bit != devicefilter.Mknod && r.Major >= 0
			}
			break
		}
	}
	return g
}

// translate makes rules about disks speak of the guest's numbers.
func (d Disks) translate(rules []devicefilter.Rule) []devicefilter.Rule {
	if len(d) == 0 {
		return rules
	}
	var out, own []devicefilter.Rule
	for _, r := range rules {
		if _, isDisk := d[Number{uint32(r.Major), uint32(r.Minor)}]; !isDisk || r.Kind == devicefilter.Char || r.Major < 0 || r.Minor < 0 {
			out = append(out, r)
		}
	}
	order := func(a, b Number) int { return int(a.Major<<20|a.Minor) - int(b.Major<<20|b.Minor) }
	for _, host := range slices.SortedFunc(maps.Keys(d), order) {
		guest := d[host]
		g := judge(rules, devicefilter.Block, int64(host.Major), int64(host.Minor))
		one := devicefilter.Rule{Kind: devicefilter.Block, Major: int64(guest.Major), Minor: int64(guest.Minor), Access: g.access, Allow: true}
		rest := one
		rest.Access, rest.Allow = devicefilter.All&^g.access, false
		for _, r := range []devicefilter.Rule{one, rest} {
			if r.Access != 0 {
				own = append(own, r)
			}
		}
	}
	return append(out, own...)
}
