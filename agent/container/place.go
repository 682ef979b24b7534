package container

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"kata/agent/api"
	"kata/rootfs"
)

// inProc are the files of /proc that something may be mounted on: runc's list, of
// what lxcfs emulates.
var inProc = []string{
	"proc/cpuinfo", "proc/diskstats", "proc/meminfo", "proc/stat", "proc/swaps", "proc/uptime",
	"proc/loadavg", "proc/slabinfo", "proc/sys/kernel/ns_last_pid", "proc/sys/crypto/fips_enabled",
}

// mountpoint opens the place of a mount, and makes it if it is not there. The
// configuration has been checked; here is what links of the image make of it.
func (b *rootBuilder) mountpoint(m *api.Mount, file bool) (fd int, made bool, err error) {
	if m.Type == "proc" || m.Type == "sysfs" {
		fd, made, err = b.root.MakeDirectory(m.Target)
		if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
			err = errors.New("must be mounted on an ordinary directory")
		}
	} else {
		fd, made, err = b.root.Make(m.Target, file)
	}
	if err == nil {
		if err = checkPlace(fd, m); err != nil {
			unix.Close(fd)
		}
	}
	return fd, made, err
}

// checkPlace keeps mounts away from what the kernel says of itself.
func checkPlace(fd int, m *api.Mount) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return err
	}
	switch {
	case fs.Type == unix.PROC_SUPER_MAGIC && m.Type != "proc" && !slices.Contains(inProc, rootfs.Relative(m.Target)):
		return errors.New("cannot be mounted because it is inside /proc")
	case fs.Type == unix.SYSFS_MAGIC && m.Type != "sysfs":
		var st unix.Stat_t
		const rootInode = 1
		if err := unix.Fstat(fd, &st); err != nil || st.Ino == rootInode {
			return errors.New("cannot be mounted over /sys because it is not of type sysfs")
		}
	}
	return nil
}

// openTarget opens what is mounted at the target already.
func (b *rootBuilder) openTarget(m *api.Mount) (int, error) {
	fd, err := b.root.Open(m.Target)
	if err != nil {
		return -1, fmt.Errorf("remount: %w", err)
	}
	return fd, nil
}
