package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// stagingDir is where a root filesystem is put together, in the container's own
// mount namespace, before it becomes the root.
const stagingDir = "/run/kata/root"

// rootBuilder prepares a container's root filesystem. It runs on a thread that
// is in the container's namespaces but not in its pid namespace.
type rootBuilder struct {
	req     *api.CreateRequest
	reaper  *Reaper
	pid     int      // the container's first process, in the guest's pid namespace
	root    int      // O_PATH descriptor of the root filesystem
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
	if err := unix.MoveMount(b.root, "", unix.AT_FDCWD, stagingDir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
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
	if err := unix.Fchdir(b.root); err != nil {
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

// openInRoot opens a path as the container would see it: symbolic links and ".."
// cannot lead out.
func (b *rootBuilder) openInRoot(path string, flags uint64) (int, error) {
	return unix.Openat2(b.root, strings.TrimLeft(path, "/")+"/.", &unix.OpenHow{
		Flags: flags | unix.O_CLOEXEC, Resolve: inRoot})
}

// inRoot is how paths of the container are resolved: nothing leads out.
const inRoot = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS

// target opens the mount point, making what is missing of it: a directory, or a
// file when the source of a bind mount is one.
func (b *rootBuilder) target(path string, file bool) (fd int, made bool, err error) {
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: inRoot}
	rel := relative(path)
	fd, err = unix.Openat2(b.root, rel, how)
	if !errors.Is(err, unix.ENOENT) {
		return fd, false, err
	}
	if err := b.makeParents(rel, file); err != nil {
		return -1, false, err
	}
	fd, err = unix.Openat2(b.root, rel, how)
	return fd, true, err
}

// relative is a path of the container from its root.
func relative(path string) string {
	if rel := strings.Trim(filepath.Clean("/"+path), "/"); rel != "" {
		return rel
	}
	return "."
}

func (b *rootBuilder) makeParents(rel string, file bool) error {
	dirs := strings.Split(rel, "/")
	for i := range dirs {
		parent, err := b.openInRoot(strings.Join(dirs[:i], "/"), unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		if file && i == len(dirs)-1 {
			var fd int
			fd, err = unix.Openat(parent, dirs[i], unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_WRONLY|unix.O_NOFOLLOW, 0o755)
			if err == nil {
				unix.Close(fd)
			}
		} else {
			err = unix.Mkdirat(parent, dirs[i], 0o755)
		}
		unix.Close(parent)
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	return nil
}

// fdPath names an open descriptor for system calls that take a path.
func fdPath(fd int) string { return fmt.Sprintf("/proc/thread-self/fd/%d", fd) }
