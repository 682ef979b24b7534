package compile

import (
	"fmt"
	"os"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"kata/agent/api"
	"kata/agent/devicefilter"
	"kata/oci"
	"kata/vm"
)

type mountFlag struct {
	clear bool
	flag  uint64
}

// mountOptions are those of mount(8) that are flags of mount(2) (config.md,
// "Linux mount options").
var mountOptions = map[string]mountFlag{
	"bind": {false, unix.MS_BIND}, "rbind": {false, unix.MS_BIND | unix.MS_REC},
	"ro": {false, unix.MS_RDONLY}, "rw": {true, unix.MS_RDONLY},
	"nosuid": {false, unix.MS_NOSUID}, "suid": {true, unix.MS_NOSUID},
	"nodev": {false, unix.MS_NODEV}, "dev": {true, unix.MS_NODEV},
	"noexec": {false, unix.MS_NOEXEC}, "exec": {true, unix.MS_NOEXEC},
	"sync": {false, unix.MS_SYNCHRONOUS}, "async": {true, unix.MS_SYNCHRONOUS},
	"dirsync": {false, unix.MS_DIRSYNC}, "remount": {false, unix.MS_REMOUNT},
	"mand": {false, unix.MS_MANDLOCK}, "nomand": {true, unix.MS_MANDLOCK},
	"noatime": {false, unix.MS_NOATIME}, "atime": {true, unix.MS_NOATIME},
	"nodiratime": {false, unix.MS_NODIRATIME}, "diratime": {true, unix.MS_NODIRATIME},
	"relatime": {false, unix.MS_RELATIME}, "norelatime": {true, unix.MS_RELATIME},
	"strictatime": {false, unix.MS_STRICTATIME}, "nostrictatime": {true, unix.MS_STRICTATIME},
	"lazytime": {false, unix.MS_LAZYTIME}, "nolazytime": {true, unix.MS_LAZYTIME},
	"iversion": {false, unix.MS_I_VERSION}, "noiversion": {true, unix.MS_I_VERSION},
	"silent": {false, unix.MS_SILENT}, "loud": {true, unix.MS_SILENT},
	"nosymfollow": {false, unix.MS_NOSYMFOLLOW}, "symfollow": {true, unix.MS_NOSYMFOLLOW},
	"defaults": {}, "acl": {}, "noacl": {},
}

var propagationOptions = map[string]uint64{
	"private": unix.MS_PRIVATE, "rprivate": unix.MS_PRIVATE | unix.MS_REC,
	"shared": unix.MS_SHARED, "rshared": unix.MS_SHARED | unix.MS_REC,
	"slave": unix.MS_SLAVE, "rslave": unix.MS_SLAVE | unix.MS_REC,
	"unbindable": unix.MS_UNBINDABLE, "runbindable": unix.MS_UNBINDABLE | unix.MS_REC,
}

type mountAttr struct {
	clear bool
	attr  uint64
}

// recursiveOptions are attributes of mount_setattr(2), for a mount and all below it.
// Those about access times exclude each other; cleared, the default is left.
var recursiveOptions = map[string]mountAttr{
	"rro": {false, unix.MOUNT_ATTR_RDONLY}, "rrw": {true, unix.MOUNT_ATTR_RDONLY},
	"rnosuid": {false, unix.MOUNT_ATTR_NOSUID}, "rsuid": {true, unix.MOUNT_ATTR_NOSUID},
	"rnodev": {false, unix.MOUNT_ATTR_NODEV}, "rdev": {true, unix.MOUNT_ATTR_NODEV},
	"rnoexec": {false, unix.MOUNT_ATTR_NOEXEC}, "rexec": {true, unix.MOUNT_ATTR_NOEXEC},
	"rnodiratime": {false, unix.MOUNT_ATTR_NODIRATIME}, "rdiratime": {true, unix.MOUNT_ATTR_NODIRATIME},
	"rnosymfollow": {false, unix.MOUNT_ATTR_NOSYMFOLLOW}, "rsymfollow": {true, unix.MOUNT_ATTR_NOSYMFOLLOW},
	"rnoatime": {false, unix.MOUNT_ATTR_NOATIME}, "ratime": {true, unix.MOUNT_ATTR__ATIME},
	"rstrictatime": {false, unix.MOUNT_ATTR_STRICTATIME}, "rnostrictatime": {true, unix.MOUNT_ATTR__ATIME},
	"rrelatime": {true, unix.MOUNT_ATTR__ATIME}, "rnorelatime": {},
}

// guestTypes are file systems without a source on the host.
var guestTypes = map[string]bool{"proc": true, "sysfs": true, "tmpfs": true, "devpts": true, "mqueue": true,
	"cgroup": true, "cgroup2": true, "ramfs": true, "securityfs": true, "bpf": true}

// mountOption adds one option to a mount. The last of opposites counts. What is not
// known here is left to the file system: the result is false.
func mountOption(m *api.Mount, option string) bool {
	if f, ok := mountOptions[option]; ok {
		if f.clear {
			m.Flags &^= f.flag
			m.ClearFlags |= f.flag
		} else {
			m.Flags |= f.flag
			m.ClearFlags &^= f.flag
		}
		return true
	}
	if r, ok := recursiveOptions[option]; ok {
		if r.attr&unix.MOUNT_ATTR__ATIME != 0 {
			m.AttrSet &^= unix.MOUNT_ATTR__ATIME
			m.AttrClear |= unix.MOUNT_ATTR__ATIME
		}
		if r.clear {
			m.AttrSet &^= r.attr
			m.AttrClear |= r.attr
		} else {
			m.AttrSet |= r.attr
			m.AttrClear &^= r.attr &^ unix.MOUNT_ATTR__ATIME
		}
		return true
	}
	if p, ok := propagationOptions[option]; ok {
		const slaveOnly = unix.MS_SLAVE | unix.MS_REC
		if p&unix.MS_SHARED != 0 && m.Propagation&unix.MS_SLAVE != 0 {
			p |= m.Propagation & slaveOnly // a slave that has slaves of its own
		}
		m.Propagation = p
		return true
	}
	switch option {
	case "tmpcopyup":
		m.CopyUp = true
	case "idmap", "ridmap":
		m.IDMap = &api.IDMap{Recursive: option == "ridmap"}
	default:
		return false
	}
	return true
}

func (c *Container) mounts(s *specs.Spec, rules []devicefilter.Rule) error {
	for i := range s.Mounts {
		m := &s.Mounts[i]
		out := api.Mount{Source: m.Source, Target: m.Destination, Type: m.Type}
		var data []string
		for _, o := range m.Options {
			if !mountOption(&out, o) {
				data = append(data, o)
			}
		}
		idMap(&out, m, s.Linux)
		if m.Type == "bind" && out.Flags&(unix.MS_BIND|unix.MS_REMOUNT) == 0 {
			out.Flags |= unix.MS_BIND | unix.MS_REC
		}
		out.Data = strings.Join(data, ",")
		name := fmt.Sprintf("mounts[%d]", i)
		switch {
		case out.IDMap != nil && len(out.IDMap.UIDs) == 0:
			return field(name+".uidMappings", "is empty; the container has no user namespace of its own to take it from")
		case out.Flags&unix.MS_REMOUNT != 0:
		case m.Type == "overlay":
			// Its layers are the host's, and so it must be. The guest sees one directory.
			c.share(&out, i, vm.Share{Source: m.Source, Overlay: out.Data})
			out.Type, out.Flags = "bind", out.Flags|unix.MS_BIND
		case oci.IsBind(m):
			fi, err := os.Stat(m.Source)
			if err != nil {
				return field(name+".source", "%v", err)
			}
			readOnly := out.Flags&unix.MS_RDONLY != 0 || out.AttrSet&unix.MOUNT_ATTR_RDONLY != 0
			if isDisk, err := c.volume(i, &out, fi, readOnly, rules); err != nil {
				return err
			} else if isDisk {
				continue
			}
			c.share(&out, i, vm.Share{Source: m.Source})
			if path.Clean(m.Destination) == "/etc/resolv.conf" {
				c.ResolvConf = m.Source
			}
		case !guestTypes[m.Type]:
			return field(name+".type", "%q cannot be mounted from the host in a virtual machine", m.Type)
		}
		c.Request.Mounts = append(c.Request.Mounts, out)
	}
	return nil
}

// share has the guest see what the mount with this index brings from the host.
func (c *Container) share(out *api.Mount, index int, s vm.Share) {
	s.Name = fmt.Sprintf("%s/mounts/%d", c.Request.ID, index)
	s.ReadOnly = out.Flags&unix.MS_RDONLY != 0 || out.AttrSet&unix.MOUNT_ATTR_RDONLY != 0
	c.Shares = append(c.Shares, s)
	out.Source, out.Shared, out.Data = s.Name, true, ""
}

// idMap maps a mount's ids as it says itself or, with the option alone, as the
// container's user namespace does.
func idMap(out *api.Mount, m *specs.Mount, l *specs.Linux) {
	uids, gids := m.UIDMappings, m.GIDMappings
	switch {
	case out.IDMap == nil && len(uids) == 0:
		return
	case out.IDMap == nil:
		out.IDMap = &api.IDMap{}
	case len(uids) == 0:
		uids, gids = l.UIDMappings, l.GIDMappings
	}
	out.IDMap.UIDs, out.IDMap.GIDs = idMappings(uids), idMappings(gids)
}

func idMappings(list []specs.LinuxIDMapping) []api.IDMapping {
	var out []api.IDMapping
	for _, m := range list {
		out = append(out, api.IDMapping{Container: m.ContainerID, Host: m.HostID, Size: m.Size})
	}
	return out
}
