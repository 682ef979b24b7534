package container

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"kata/agent/api"
	"kata/rootfs"
)

var defaultLinks = [][2]string{
	{"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"},
	{"/proc/self/fd/2", "stderr"}, {"pts/ptmx", "ptmx"},
}

// devices makes the nodes of the request and the links that every container's
// /dev has (runtime-spec, config-linux.md, "Default Devices"; runtime-linux.md,
// "Dev symbolic links").
func (b *rootBuilder) devices() error {
	for _, d := range b.req.Devices {
		if err := b.device(d); err != nil {
			return fmt.Errorf("linux.devices: %s: %w", d.Path, err)
		}
	}
	dev, err := b.root.Open("dev")
	if errors.Is(err, unix.ENOENT) {
		return nil // a container may do without /dev
	}
	if err != nil {
		return fmt.Errorf("/dev: %w", err)
	}
	defer unix.Close(dev)
	for _, l := range defaultLinks {
		err := unix.Symlinkat(l[0], dev, l[1])
		if err != nil && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.EROFS) {
			return fmt.Errorf("/dev/%s: %w", l[1], err)
		}
	}
	return nil
}

func (b *rootBuilder) device(d api.Device) error {
	if ok, err := there(&d); !ok {
		return err
	}
	dir, name := filepath.Split(rootfs.Relative(d.Path))
	parent, _, err := b.root.Make(dir, false)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	if d.UID, d.GID, err = b.ids.pair(d.UID, d.GID); err != nil {
		return err
	}
	err = makeNode(parent, name, d)
	switch {
	case errors.Is(err, unix.EEXIST) && d.Mode&unix.S_IFMT == unix.S_IFBLK:
		return b.lendDevice(d) // such as the mount point of a volume
	case errors.Is(err, unix.EEXIST):
		return nil
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP):
		return b.lendDevice(d) // the host's files take no device nodes
	}
	return err
}

func makeNode(parent int, name string, d api.Device) error {
	if err := unix.Mknodat(parent, name, d.Mode, int(unix.Mkdev(d.Major, d.Minor))); err != nil {
		return err
	}
	if err := unix.Fchownat(parent, name, int(d.UID), int(d.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	return unix.Fchmodat(parent, name, d.Mode&0o7777, 0)
}

// lendDevice makes a node in a file system of its own and mounts it at the path.
func (b *rootBuilder) lendDevice(d api.Device) error {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return err
	}
	dir, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	const name = "node"
	if err := makeNode(dir, name, d); err != nil {
		return err
	}
	tree, err := unix.OpenTree(dir, name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	place, _, err := b.root.Make(d.Path, true)
	if err != nil {
		return err
	}
	defer unix.Close(place)
	return attach(tree, place)
}
