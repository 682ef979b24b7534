package image

import (
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// root is a directory that no name leads out of. Names are resolved by the
// kernel as after a chroot (openat2(2), RESOLVE_IN_ROOT): an absolute symbolic
// link, which images are full of, starts again at the root, and ".." stops
// there. os.Root refuses such links, so it cannot apply layers.
type root struct{ fd int }

func openRoot(dir string) (*root, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", dir, err)
	}
	return &root{fd}, nil
}

func (r *root) close() { unix.Close(r.fd) }

// open opens name; all symbolic links are followed, inside of the root.
func (r *root) open(name string, flags uint64) (int, error) {
	how := &unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	for {
		// EAGAIN: something was renamed at the same time, somewhere.
		fd, err := unix.Openat2(r.fd, name, how)
		if err != unix.EAGAIN && err != unix.EINTR {
			return fd, err
		}
	}
}

// dir opens a directory as a place to work in (O_PATH).
func (r *root) dir(name string) (int, error) {
	return r.open(name, unix.O_PATH|unix.O_DIRECTORY)
}

// makeDir is dir for a directory that is created if it is missing, with its
// parents. A dangling link has its target created, as other unpackers do; hops
// says how many of them are followed.
func (r *root) makeDir(name string, hops int) (int, error) {
	fd, err := r.dir(name)
	if err != unix.ENOENT || name == "." {
		return fd, err
	}
	parent, err := r.makeDir(path.Dir(name), hops)
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent)
	base := path.Base(name)
	err = unix.Mkdirat(parent, base, 0o755)
	if err == nil {
		// Not for the umask to decide.
		err = unix.Fchmodat(parent, base, 0o755, 0)
	} else if err == unix.EEXIST {
		return r.makeTarget(parent, name, hops)
	}
	if err != nil {
		return -1, err
	}
	return r.dir(name)
}

func (r *root) makeTarget(parent int, name string, hops int) (int, error) {
	if hops == 0 {
		return -1, unix.ELOOP
	}
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(parent, path.Base(name), buf[:])
	if err != nil {
		return -1, err
	}
	target := string(buf[:n])
	if !path.IsAbs(target) {
		target = path.Join("/", path.Dir(name), target)
	}
	return r.makeDir(relative(target), hops-1)
}

// relative is the name, from the root, of what an absolute path means.
func relative(abs string) string {
	if clean := path.Clean(abs); clean != "/" {
		return clean[1:]
	}
	return "."
}

// cleanName turns the name of an archive's entry into one relative to the
// root; "." is the root itself. One that climbs out of it is refused: no
// honest tool writes that.
func cleanName(name string) (string, error) {
	clean := path.Clean(strings.TrimLeft(name, "/"))
	if name == "" || strings.ContainsRune(name, 0) || clean == ".." || strings.HasPrefix(clean, "../") {
		return "", fmt.Errorf("%w: name leads out of the root", ErrUnsafe)
	}
	return clean, nil
}

// children lists the names in the directory that dir, an O_PATH descriptor,
// stands for.
func children(dir int) ([]string, error) {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), ".")
	defer f.Close()
	return f.Readdirnames(-1)
}
