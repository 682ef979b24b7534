package compile

import (
	"fmt"
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"kata/agent/api"
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
	"lazytime": {false, unix.MS_LAZYTIME}, "iversion": {false, unix.MS_I_VERSION},
	"silent": {false, unix.MS_SILENT}, "loud": {true, unix.MS_SILENT},
	"nosymfollow": {false, 0x100}, "symfollow": {true, 0x100},
	"defaults": {}, "acl": {}, "noacl": {},
}

var propagationOptions = map[string]uint64{
	"private": unix.MS_PRIVATE, "rprivate": unix.MS_PRIVATE | unix.MS_REC,
	"shared": unix.MS_SHARED, "rshared": unix.MS_SHARED | unix.MS_REC,
	"slave": unix.MS_SLAVE, "rslave": unix.MS_SLAVE | unix.MS_REC,
	"unbindable": unix.MS_UNBINDABLE, "runbindable": unix.MS_UNBINDABLE | unix.MS_REC,
}

// guestTypes are file systems without a source on the host.
var guestTypes = map[string]bool{"proc": true, "sysfs": true, "tmpfs": true, "devpts": true, "mqueue": true,
	"cgroup": true, "cgroup2": true, "ramfs": true, "securityfs": true, "bpf": true}

func (c *Container) mounts(list []specs.Mount) error {
	for i := range list {
		m := &list[i]
		name := fmt.Sprintf("mounts[%d]", i)
		out := api.Mount{Source: m.Source, Target: m.Destination, Type: m.Type}
		if len(m.UIDMappings)+len(m.GIDMappings) > 0 {
			return field(name+".uidMappings", "idmapped mounts are not supported in the guest")
		}
		var data []string
		for _, o := range m.Options {
			if f, ok := mountOptions[o]; ok && f.clear {
				out.Flags &^= f.flag
			} else if ok {
				out.Flags |= f.flag
			} else if p, ok := propagationOptions[o]; ok {
				out.Propagation |= p
			} else {
				data = append(data, o)
			}
		}
		if m.Type == "bind" && out.Flags&unix.MS_BIND == 0 {
			out.Flags |= unix.MS_BIND | unix.MS_REC
		}
		out.Data = strings.Join(data, ",")
		switch {
		case oci.IsBind(m) || out.Flags&unix.MS_BIND != 0:
			if _, err := os.Stat(m.Source); err != nil {
				return field(name+".source", "%v", err)
			}
			share := vm.Share{Name: fmt.Sprintf("%s/mounts/%d", c.Request.ID, i), Source: m.Source, ReadOnly: out.Flags&unix.MS_RDONLY != 0}
			c.Shares = append(c.Shares, share)
			out.Source, out.Shared, out.Data = share.Name, true, ""
		case !guestTypes[m.Type]:
			return field(name+".type", "%q cannot be mounted from the host in a virtual machine", m.Type)
		}
		c.Request.Mounts = append(c.Request.Mounts, out)
	}
	return nil
}
