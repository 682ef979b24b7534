package container

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"kata/agent/api"
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
	dev, err := b.openInRoot("dev", unix.O_PATH|unix.O_DIRECTORY)
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
	dir, name := filepath.Split(strings.Trim(filepath.Clean("/"+d.Path), "/"))
	parent, _, err := b.target("/"+dir, false)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	err = unix.Mknodat(parent, name, d.Mode, int(unix.Mkdev(d.Major, d.Minor)))
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) {
		// A shared directory takes no device nodes: lend the guest's own.
		return b.lend("/dev/"+name, d.Path)
	}
	if err != nil {
		return err
	}
	if err := unix.Fchmodat(parent, name, d.Mode&0o7777, 0); err != nil {
		return err
	}
	return unix.Fchownat(parent, name, int(d.UID), int(d.GID), unix.AT_SYMLINK_NOFOLLOW)
}

// lend makes a file of the guest appear in the container.
func (b *rootBuilder) lend(file, target string) error {
	tree, err := openTree(file, false)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	place, _, err := b.target(target, true)
	if err != nil {
		return err
	}
	defer unix.Close(place)
	return attach(tree, place)
}
