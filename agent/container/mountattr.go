package container

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// attributes are the flags of mount(2) that are a mount's, and not its file
// system's, by what mount_setattr(2) calls them.
var attributes = []struct{ flag, attr uint64 }{
	{unix.MS_RDONLY, unix.MOUNT_ATTR_RDONLY}, {unix.MS_NOSUID, unix.MOUNT_ATTR_NOSUID},
	{unix.MS_NODEV, unix.MOUNT_ATTR_NODEV}, {unix.MS_NOEXEC, unix.MOUNT_ATTR_NOEXEC},
	{unix.MS_NOATIME, unix.MOUNT_ATTR_NOATIME}, {unix.MS_STRICTATIME, unix.MOUNT_ATTR_STRICTATIME},
	{unix.MS_NODIRATIME, unix.MOUNT_ATTR_NODIRATIME}, {unix.MS_NOSYMFOLLOW, unix.MOUNT_ATTR_NOSYMFOLLOW},
}

// changes are the attributes that a mount's options ask for and forbid. Those about
// access times are one value, which is cleared to be set.
func changes(m *api.Mount) (set, clear uint64) {
	for _, a := range attributes {
		if m.Flags&a.flag != 0 {
			set |= a.attr
		}
		if m.ClearFlags&a.flag != 0 {
			clear |= a.attr
		}
	}
	if (m.Flags|m.ClearFlags)&(unix.MS_NOATIME|unix.MS_STRICTATIME|unix.MS_RELATIME) != 0 {
		clear |= unix.MOUNT_ATTR__ATIME
	}
	return set, clear
}

func setAttributes(tree int, set, clear uint64, recursive bool) error {
	if set|clear == 0 {
		return nil
	}
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return unix.MountSetattr(tree, "", flags, &unix.MountAttr{Attr_set: set, Attr_clr: clear})
}

// propagate sets a mount's propagation; a slave that is shared too is made so in
// that order.
func propagate(tree int, how uint64) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if how&unix.MS_REC != 0 {
		flags |= unix.AT_RECURSIVE
	}
	for _, one := range []uint64{unix.MS_PRIVATE, unix.MS_UNBINDABLE, unix.MS_SLAVE, unix.MS_SHARED} {
		if how&one == 0 {
			continue
		}
		if err := unix.MountSetattr(tree, "", flags, &unix.MountAttr{Propagation: one}); err != nil {
			return fmt.Errorf("propagation: %w", err)
		}
	}
	return nil
}

// lateMount is read-only once everything is in place.
type lateMount struct {
	tree   int
	attr   uint64
	target string
}

// lateAttributes are set when all mount points and devices have been made: a tmpfs,
// such as /dev, is empty at first.
func lateAttributes(m *api.Mount) uint64 {
	if m.Type != "tmpfs" || m.Flags&unix.MS_BIND != 0 {
		return 0
	}
	set, _ := changes(m)
	return (set | m.AttrSet) & unix.MOUNT_ATTR_RDONLY
}

// mapIDs makes the owners of a mount's files others than those in its file system.
func (b *rootBuilder) mapIDs(i, tree int) error {
	m, userns := &b.req.Mounts[i], b.sources[i].idmap
	if userns < 0 {
		return nil
	}
	flags := uint(unix.AT_EMPTY_PATH)
	if m.IDMap.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	err := unix.MountSetattr(tree, "", flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userns)})
	if errors.Is(err, unix.EINVAL) {
		err = errors.New("this file system cannot map ids in the guest; remove the mappings, or change the owners of the files")
	}
	if err != nil {
		return fmt.Errorf("mounts[%d].uidMappings: %w", i, err)
	}
	return nil
}
