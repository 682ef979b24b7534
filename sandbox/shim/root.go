package shim

import (
	"fmt"

	"golang.org/x/sys/unix"

	"kata/sandbox/state"
)

// enterRoot gives the calling thread, which must be the main one, and only it, a
// mount namespace with the container's root filesystem as its root. Engines join the mount namespace of the
// process that they were told of and change files there ("podman cp"): they must not
// find the host's. The other threads stay, so that the proxy's socket has a path.
func enterRoot(dir state.Dir) error {
	record, err := dir.Load()
	if err != nil {
		return err
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"new mount namespace", func() error { return unix.Unshare(unix.CLONE_NEWNS) }},
		{"make mounts private", func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") }},
		{"bind", func() error { return unix.Mount(record.Rootfs, record.Rootfs, "", unix.MS_BIND|unix.MS_REC, "") }},
		{"chdir", func() error { return unix.Chdir(record.Rootfs) }},
		{"pivot_root", func() error { return unix.PivotRoot(".", ".") }},
		{"detach the host's mounts", func() error { return unix.Unmount(".", unix.MNT_DETACH) }},
		{"chdir", func() error { return unix.Chdir("/") }},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("root filesystem %s: %s: %w", record.Rootfs, step.name, err)
		}
	}
	return nil
}
