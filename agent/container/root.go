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
	req  *api.CreateRequest
	pid  int // the container's first process, in the guest's pid namespace
	root int // O_PATH descriptor of the root filesystem
}

func (b *rootBuilder) build() error {
	propagation := uintptr(b.req.RootfsShare)
	if propagation == 0 {
		propagation = unix.MS_SLAVE | unix.MS_REC
	}
	if err := unix.Mount("", "/", "", propagation, ""); err != nil {
		return fmt.Errorf("root propagation: %w", err)
	}
	// pivot_root refuses a shared parent, and nothing may leak back to the guest.
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("root propagation: %w", err)
	}
	source := filepath.Join(api.ShareDir, b.req.Rootfs)
	if err := unix.Mount(source, stagingDir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("root filesystem: %w", err)
	}
	root, err := unix.Open(stagingDir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("root filesystem: %w", err)
	}
	b.root = root
	defer unix.Close(root)
	for i := range b.req.Mounts {
		m := &b.req.Mounts[i]
		if err := b.mount(m); err != nil {
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
		Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
}

// target opens the mount point, making what is missing of it: a directory, or a
// file when the source of a bind mount is one.
func (b *rootBuilder) target(path string, file bool) (int, error) {
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	rel := strings.Trim(filepath.Clean("/"+path), "/")
	if rel == "" {
		rel = "."
	}
	fd, err := unix.Openat2(b.root, rel, how)
	if !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	if err := b.makeParents(rel, file); err != nil {
		return -1, err
	}
	return unix.Openat2(b.root, rel, how)
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

// finish does what must be done once the new root is in place.
func (b *rootBuilder) finish() error {
	// First: /proc/sys is usually among the read-only paths.
	for _, kv := range b.req.Sysctls {
		file := "/proc/sys/" + strings.ReplaceAll(kv.Key, ".", "/")
		if err := os.WriteFile(file, []byte(kv.Value), 0); err != nil {
			return fmt.Errorf("linux.sysctl[%q]: %w", kv.Key, err)
		}
	}
	for _, p := range b.req.ReadonlyPaths {
		if err := readonlyPath(p); err != nil {
			return fmt.Errorf("linux.readonlyPaths: %s: %w", p, err)
		}
	}
	for _, p := range b.req.MaskedPaths {
		if err := maskPath(p); err != nil {
			return fmt.Errorf("linux.maskedPaths: %s: %w", p, err)
		}
	}
	if b.req.RootReadonly {
		if err := remount("/", unix.MS_RDONLY); err != nil {
			return fmt.Errorf("root.readonly: %w", err)
		}
	}
	return nil
}

// remount adds flags to those that a mount has: a bind remount sets them all.
func remount(path string, add uintptr) error {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return err
	}
	// The ST_* flags of statfs(2) have the values of MS_*, but for relatime.
	keep := uintptr(st.Flags) & (unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME)
	return unix.Mount("", path, "", unix.MS_BIND|unix.MS_REMOUNT|keep|add, "")
}

func readonlyPath(p string) error {
	if err := unix.Mount(p, p, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return err
	}
	return remount(p, unix.MS_RDONLY)
}

func maskPath(p string) error {
	err := unix.Mount("/dev/null", p, "", unix.MS_BIND, "")
	switch {
	case errors.Is(err, unix.ENOTDIR):
		return unix.Mount("tmpfs", p, "tmpfs", unix.MS_RDONLY, "size=0k")
	case errors.Is(err, unix.ENOENT):
		return nil
	}
	return err
}
