package container

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

func (b *rootBuilder) mount(m *api.Mount) error {
	if m.Flags&unix.MS_BIND != 0 {
		return b.bind(m)
	}
	fd, err := b.target(m.Target, false)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	fstype, data := m.Type, m.Data
	switch fstype {
	case "proc":
		// The thread is not in the container's pid namespace: name it.
		if (b.req.Namespaces|joined(b.req))&unix.CLONE_NEWPID != 0 {
			data = join(data, fmt.Sprintf("pidns=/proc/%d/ns/pid", b.pid))
		}
	case "cgroup":
		fstype, data = "cgroup2", ""
	case "sysfs", "mqueue", "cgroup2":
		data = ""
	}
	if err := unix.Mount(m.Source, fdPath(fd), fstype, uintptr(m.Flags), data); err != nil {
		return err
	}
	return b.propagate(m)
}

func join(data, option string) string {
	if data == "" {
		return option
	}
	return data + "," + option
}

func (b *rootBuilder) bind(m *api.Mount) error {
	source := m.Source
	if m.Shared {
		source = filepath.Join(api.ShareDir, m.Source)
	}
	var st unix.Stat_t
	if err := unix.Stat(source, &st); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	fd, err := b.target(m.Target, st.Mode&unix.S_IFMT != unix.S_IFDIR)
	if err != nil {
		return err
	}
	err = unix.Mount(source, fdPath(fd), "", uintptr(m.Flags)&(unix.MS_BIND|unix.MS_REC), "")
	unix.Close(fd)
	if err != nil {
		return err
	}
	if flags := uintptr(m.Flags) &^ (unix.MS_BIND | unix.MS_REC); flags != 0 {
		if err := b.onMount(m, func(path string) error { return remount(path, flags) }); err != nil {
			return err
		}
	}
	return b.propagate(m)
}

func (b *rootBuilder) propagate(m *api.Mount) error {
	if m.Propagation == 0 {
		return nil
	}
	return b.onMount(m, func(path string) error { return unix.Mount("", path, "", uintptr(m.Propagation), "") })
}

// onMount calls f with a path of what is mounted at the target: the descriptor
// that was mounted on names what is below.
func (b *rootBuilder) onMount(m *api.Mount, f func(path string) error) error {
	fd, err := b.target(m.Target, false)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return f(fdPath(fd))
}

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
	parent, err := b.target("/"+dir, false)
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
		return b.bind(&api.Mount{Source: "/dev/" + name, Target: d.Path, Flags: unix.MS_BIND})
	}
	if err != nil {
		return err
	}
	if err := unix.Fchmodat(parent, name, d.Mode&0o7777, 0); err != nil {
		return err
	}
	return unix.Fchownat(parent, name, int(d.UID), int(d.GID), unix.AT_SYMLINK_NOFOLLOW)
}
