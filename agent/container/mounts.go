package container

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// mount puts one mount of the configuration in its place. What is mounted is
// complete before it is seen: it is made, given its attributes and filled apart
// from the root filesystem, by descriptor, and then moved there. No path is
// resolved twice.
func (b *rootBuilder) mount(i int) error {
	m := &b.req.Mounts[i]
	if m.Flags&unix.MS_REMOUNT != 0 {
		return b.remount(m)
	}
	place, made, err := b.mountpoint(m, b.sources[i].file)
	if err != nil {
		return err
	}
	defer unix.Close(place)
	tree := b.sources[i].tree
	if tree < 0 {
		if tree, err = b.filesystem(m, place, made); err != nil {
			return err
		}
		b.sources[i].tree = tree // closed with the others
	}
	set, clear := changes(m)
	if m.Flags&unix.MS_BIND != 0 {
		err = setAttributes(tree, set, clear, false)
	} else if late := lateAttributes(m); late != 0 {
		b.late = append(b.late, lateMount{tree, late, m.Target})
	}
	if err == nil {
		err = setAttributes(tree, m.AttrSet&^lateAttributes(m), m.AttrClear, true)
	}
	if err != nil {
		return fmt.Errorf("options: %w", err)
	}
	if err := b.mapIDs(i, tree); err != nil {
		return err
	}
	if m.CopyUp && !made {
		if err := copyUp(place, tree); err != nil {
			return fmt.Errorf("option tmpcopyup: %w", err)
		}
	}
	if err := propagate(tree, m.Propagation); err != nil {
		return err
	}
	return attach(tree, place)
}

// filesystem makes a file system of the guest's; place is where it will be, and made
// says that it was not there before.
func (b *rootBuilder) filesystem(m *api.Mount, place int, made bool) (tree int, err error) {
	fstype, data := m.Type, strings.Split(m.Data, ",")
	switch fstype {
	case "proc":
		// The thread is not in the container's pid namespace: name it.
		if (b.req.Namespaces|joined(b.req))&unix.CLONE_NEWPID != 0 {
			data = append(data, "pidns=/proc/"+strconv.Itoa(b.pid)+"/ns/pid")
		}
	case "cgroup":
		fstype, data = "cgroup2", nil
	case "sysfs", "mqueue", "cgroup2":
		data = nil
	case "tmpfs":
		// As runc does: it has the permissions of the directory that it covers.
		if !made && !slices.ContainsFunc(data, func(o string) bool { return strings.HasPrefix(o, "mode=") }) {
			var st unix.Stat_t
			if err := unix.Fstat(place, &st); err != nil {
				return -1, err
			}
			data = append(data, "mode="+strconv.FormatUint(uint64(st.Mode&0o7777), 8))
		}
	}
	if data, err = b.ids.options(data); err != nil {
		return -1, err
	}
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if err := configure(fs, m, data); err != nil {
		return -1, explain(fs, err)
	}
	set, _ := changes(m)
	tree, err = unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, int(set&^lateAttributes(m)))
	return tree, explain(fs, err)
}

// superblockFlags are flags of mount(2) that are the file system's, by what
// fsconfig(2) calls them.
var superblockFlags = []struct {
	flag uint64
	name string
}{{unix.MS_SYNCHRONOUS, "sync"}, {unix.MS_DIRSYNC, "dirsync"}, {unix.MS_LAZYTIME, "lazytime"}, {unix.MS_MANDLOCK, "mand"}}

// configure sets the options of a file system and makes it.
func configure(fs int, m *api.Mount, data []string) error {
	if m.Source != "" {
		if err := unix.FsconfigSetString(fs, "source", m.Source); err != nil {
			return err
		}
	}
	for _, f := range superblockFlags {
		if m.Flags&f.flag != 0 {
			data = append(data, f.name)
		}
	}
	for _, option := range data {
		var err error
		switch key, value, hasValue := strings.Cut(option, "="); {
		case option == "":
			continue
		case hasValue:
			err = unix.FsconfigSetString(fs, key, value)
		default:
			err = unix.FsconfigSetFlag(fs, key)
		}
		if err != nil {
			return fmt.Errorf("option %q: %w", option, err)
		}
	}
	return unix.FsconfigCreate(fs)
}

// explain adds what the kernel has to say to an error: one line, fsopen(2).
func explain(fs int, err error) error {
	if err == nil {
		return nil
	}
	buf := make([]byte, 256)
	n, _ := unix.Read(fs, buf) // nothing to read is no explanation
	if _, text, ok := strings.Cut(string(buf[:max(n, 0)]), " "); ok {
		return fmt.Errorf("%w (%s)", err, strings.TrimSpace(text))
	}
	return err
}

// remount changes what is mounted at the target. For the host's files, which all of
// a sandbox' containers share, that is this one mount; for a file system of the
// container's, the file system.
func (b *rootBuilder) remount(m *api.Mount) error {
	fd, err := b.openTarget(m)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var root, here unix.Statfs_t
	if err := errors.Join(unix.Fstatfs(b.root.FD, &root), unix.Fstatfs(fd, &here)); err != nil {
		return err
	}
	flags, data := uintptr(m.Flags)&^unix.MS_REC, m.Data
	if here.Type == root.Type {
		flags, data = flags|unix.MS_BIND, ""
	}
	if err := unix.Mount(m.Source, fdPath(fd), m.Type, flags, data); err != nil {
		return err
	}
	if err := setAttributes(fd, m.AttrSet, m.AttrClear, true); err != nil {
		return fmt.Errorf("options: %w", err)
	}
	return propagate(fd, m.Propagation)
}

// source is what a mount of the configuration mounts, if it is there already: a
// detached tree, or -1.
type source struct {
	tree  int
	file  bool // not a directory
	idmap int  // user namespace that maps its ids, or -1
}

// openSources opens what the container gets of the host's files, and makes the user
// namespaces of its mounts. It runs in the guest's own namespaces: mounts copied into
// a container's have attributes that cannot be changed any more.
func (b *rootBuilder) openSources() error {
	var err error
	if b.root.FD, err = openTree(filepath.Join(api.ShareDir, b.req.Rootfs), true); err != nil {
		return fmt.Errorf("root filesystem: %w", err)
	}
	// An image may have device nodes in it; those of the container are in its /dev.
	if err := setAttributes(b.root.FD, unix.MOUNT_ATTR_NODEV, 0, false); err != nil {
		return fmt.Errorf("root filesystem: %w", err)
	}
	b.sources = make([]source, len(b.req.Mounts))
	for i := range b.sources {
		b.sources[i] = source{tree: -1, idmap: -1}
	}
	for i := range b.req.Mounts {
		m, s := &b.req.Mounts[i], &b.sources[i]
		if m.IDMap != nil {
			if s.idmap, err = userNamespace(b.reaper, m.IDMap.UIDs, m.IDMap.GIDs); err != nil {
				return fmt.Errorf("mounts[%d].uidMappings: %w", i, err)
			}
		}
		if m.Flags&unix.MS_BIND == 0 || m.Flags&unix.MS_REMOUNT != 0 {
			continue
		}
		if s.tree, err = openTree(filepath.Join(api.ShareDir, m.Source), m.Flags&unix.MS_REC != 0); err != nil {
			return fmt.Errorf("mounts[%d].source: %w", i, err)
		}
		var st unix.Stat_t
		if err := unix.Fstat(s.tree, &st); err != nil {
			return fmt.Errorf("mounts[%d].source: %w", i, err)
		}
		s.file = st.Mode&unix.S_IFMT != unix.S_IFDIR
	}
	return nil
}

func (b *rootBuilder) close() {
	for _, s := range b.sources {
		for _, fd := range []int{s.tree, s.idmap} {
			if fd >= 0 {
				unix.Close(fd)
			}
		}
	}
	for _, fd := range []int{b.root.FD, b.null, b.empty} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// openTree makes a detached copy of a mount, or of the mounts below a path.
func openTree(path string, recursive bool) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return unix.OpenTree(unix.AT_FDCWD, path, flags)
}
