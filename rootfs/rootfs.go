// Package rootfs resolves paths as those see them whose root a directory is: links
// and ".." cannot lead out of it, whatever an image has in it. The agent uses it for
// the containers of a guest, the host for what it must make before a guest may not
// write any more.
//
// It does not mount, does not know what the paths are for, and does not follow the
// links of /proc that lead anywhere.
package rootfs

import (
	"errors"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Root is a directory as others' root. What is made in it belongs to UID and GID.
type Root struct {
	FD       int
	UID, GID uint32
}

const inside = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS

// Open opens a path with O_PATH.
func (r Root) Open(name string) (fd int, err error) {
	return r.open(name, unix.O_PATH, inside)
}

func (r Root) open(name string, flags, resolve uint64) (int, error) {
	return unix.Openat2(r.FD, Relative(name), &unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: resolve})
}

// Make is Open that makes what is missing of the path: directories, or with file an
// empty file as the last. made says that something was.
func (r Root) Make(name string, file bool) (fd int, made bool, err error) {
	return r.make(name, file, unix.O_PATH, inside)
}

// MakeDirectory is Make that follows no link at all.
func (r Root) MakeDirectory(name string) (fd int, made bool, err error) {
	return r.make(name, false, unix.O_PATH|unix.O_DIRECTORY, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_SYMLINKS)
}

func (r Root) make(name string, file bool, flags, resolve uint64) (fd int, made bool, err error) {
	fd, err = r.open(name, flags, resolve)
	if !errors.Is(err, unix.ENOENT) {
		return fd, false, err
	}
	steps := strings.Split(Relative(name), "/")
	for i := range steps {
		if err := r.step(steps[:i+1], resolve, file && i == len(steps)-1); err != nil {
			return -1, false, err
		}
	}
	fd, err = r.open(name, flags, resolve)
	return fd, true, err
}

// step makes the last of the elements.
func (r Root) step(elements []string, resolve uint64, file bool) error {
	last := len(elements) - 1
	name := elements[last]
	parent, err := r.open(path.Join(elements[:last]...), unix.O_PATH|unix.O_DIRECTORY, resolve)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	if file {
		var fd int
		fd, err = unix.Openat(parent, name, unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_WRONLY|unix.O_NOFOLLOW, 0o755)
		if err == nil {
			unix.Close(fd)
		}
	} else {
		err = unix.Mkdirat(parent, name, 0o755)
	}
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err == nil && (r.UID != 0 || r.GID != 0) {
		err = unix.Fchownat(parent, name, int(r.UID), int(r.GID), unix.AT_SYMLINK_NOFOLLOW)
	}
	return err
}

// Relative is a path from the root, for the *at system calls.
func Relative(name string) string {
	if rel := strings.Trim(path.Clean("/"+name), "/"); rel != "" {
		return rel
	}
	return "."
}
