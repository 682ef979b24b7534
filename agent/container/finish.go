package container

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// finish does what must be done once the new root is in place.
func (b *rootBuilder) finish() error {
	// First: /proc/sys is usually among the read-only paths.
	for _, kv := range b.req.Sysctls {
		if err := b.sysctl(kv); err != nil {
			return fmt.Errorf("linux.sysctl[%q]: %w", kv.Key, err)
		}
	}
	for _, p := range b.req.ReadonlyPaths {
		if err := b.onPath(p, readonlyPath); err != nil {
			return fmt.Errorf("linux.readonlyPaths: %s: %w", p, err)
		}
	}
	for _, p := range b.req.MaskedPaths {
		if err := b.onPath(p, b.maskPath); err != nil {
			return fmt.Errorf("linux.maskedPaths: %s: %w", p, err)
		}
	}
	for _, l := range b.late {
		if err := setAttributes(l.tree, l.attr, 0, false); err != nil {
			return fmt.Errorf("mount at %s: read-only: %w", l.target, err)
		}
	}
	// The last: a mount that is unbindable can be no source.
	if b.req.RootReadonly {
		if err := setAttributes(b.root.FD, unix.MOUNT_ATTR_RDONLY, 0, false); err != nil {
			return fmt.Errorf("root.readonly: %w", err)
		}
	}
	if err := propagate(b.root.FD, b.req.RootfsShare); err != nil {
		return fmt.Errorf("linux.rootfsPropagation: %w", err)
	}
	return nil
}

// makeCwd creates the working directory when it is missing, as runc does.
func (b *rootBuilder) makeCwd(cwd string) error {
	fd, _, err := b.root.Make(cwd, false)
	if err != nil {
		return fmt.Errorf("process.cwd: %s: %w", cwd, err)
	}
	return unix.Close(fd)
}

// bindConsole makes a terminal appear as /dev/console (runtime-spec,
// config-linux.md, "Default Devices").
func (b *rootBuilder) bindConsole(slave int) error {
	dev, _, err := b.root.Make("dev", false)
	if err != nil {
		return err
	}
	defer unix.Close(dev)
	// No link: it would lead the terminal over any file of the container.
	place, err := unix.Openat2(dev, "console", &unix.OpenHow{Flags: unix.O_CREAT | unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC,
		Mode: 0o666, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH})
	if err != nil {
		return err
	}
	defer unix.Close(place)
	// By descriptor: the container's /proc does not know this thread.
	tree, err := unix.OpenTree(slave, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	return attach(tree, place)
}

// sysctl sets a kernel parameter, in /proc and nowhere else.
func (b *rootBuilder) sysctl(kv api.KeyValue) error {
	file := "proc/sys/" + strings.ReplaceAll(kv.Key, ".", "/")
	fd, err := unix.Openat2(b.root.FD, file, &unix.OpenHow{Flags: unix.O_WRONLY | unix.O_NONBLOCK | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS})
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), file)
	defer f.Close()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return err
	}
	if fs.Type != unix.PROC_SUPER_MAGIC {
		return errors.New("the container has no proc file system at /proc")
	}
	_, err = f.WriteString(kv.Value)
	return err
}

// onPath calls f with an existing file of the container. Links are followed, but not
// those of /proc that lead anywhere.
func (b *rootBuilder) onPath(path string, f func(fd int) error) error {
	fd, err := b.root.Open(path)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return f(fd)
}

// readonlyPath makes what is at a path read-only, as far as that is one mount.
func readonlyPath(fd int) error {
	tree, err := unix.OpenTree(fd, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	if err := setAttributes(tree, unix.MOUNT_ATTR_RDONLY, 0, false); err != nil {
		return err
	}
	return attach(tree, fd)
}

// maskPath hides a file behind the guest's null device, and a directory behind an
// empty one. The container's own /dev/null may be anything.
func (b *rootBuilder) maskPath(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	cover := b.null
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		var err error
		if cover, err = b.emptyDirectory(); err != nil {
			return err
		}
	}
	tree, err := unix.OpenTree(cover, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	return attach(tree, fd)
}

// emptyDirectory is a read-only file system, one for all that it hides.
func (b *rootBuilder) emptyDirectory() (int, error) {
	if b.empty >= 0 {
		return b.empty, nil
	}
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "size", "0k"); err != nil {
		return -1, err
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	b.empty, err = unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	return b.empty, err
}

// attach mounts a detached tree on an open file or directory.
func attach(tree, place int) error {
	return unix.MoveMount(tree, "", place, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}
