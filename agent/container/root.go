package container

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"kata/agent/api"
	"kata/rootfs"
)

// stagingDir is where a root filesystem is put together, in the container's own
// mount namespace, before it becomes the root.
const stagingDir = "/run/kata/root"

// rootBuilder prepares a container's root filesystem. It runs on a thread that
// is in the container's namespaces but not in its pid namespace.
type rootBuilder struct {
	req     *api.CreateRequest
	reaper  *Reaper
	ids     *identity
	pid     int // the container's first process, in the guest's pid namespace
	root    rootfs.Root
	sources []source // of the request's mounts
	late    []lateMount
	null    int // the guest's null device
	empty   int // a file system to mask directories with, or -1
}

func (b *rootBuilder) build() error {
	// Nothing may leak back to the guest, and pivot_root refuses a shared parent.
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("root propagation: %w", err)
	}
	var err error
	if b.null, err = openTree(os.DevNull, false); err != nil { // while it is the guest's
		return fmt.Errorf("%s: %w", os.DevNull, err)
	}
	if err := unix.MoveMount(b.root.FD, "", unix.AT_FDCWD, stagingDir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("root filesystem: %w", err)
	}
	for i := range b.req.Mounts {
		if err := b.mount(i); err != nil {
			m := &b.req.Mounts[i]
			return fmt.Errorf("mounts[%d]: %s at %s: %w", i, m.Type, m.Target, err)
		}
	}
	if err := b.devices(); err != nil {
		return err
	}
	return b.pivot()
}

func (b *rootBuilder) pivot() error {
	if err := unix.Fchdir(b.root.FD); err != nil {
		return fmt.Errorf("root filesystem: %w", err)
	}
	// The old root lands on top of the new one and is then taken away, which
	// needs no directory for it: pivot_root(2), "pivot_root(".", ".")".
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach the guest's root: %w", err)
	}
	return os.Chdir("/")
}

// fdPath names an open descriptor for system calls that take a path.
func fdPath(fd int) string { return "/proc/thread-self/fd/" + strconv.Itoa(fd) }
