package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Unpack writes the image's root filesystem to dir, which must be empty or not
// exist; missing parents are created. If it fails, dir is as it was before.
//
// Every layer's digests are verified, and nothing outside dir is touched,
// whatever the layers say. Owners, modes (setuid and setgid too), modification
// times, device nodes and hard links are kept as they are, so it takes root;
// of extended attributes those that belong to a container. The result can hold
// setuid programs and device nodes: keep dir where other users cannot get.
//
// Errors name the layer and the entry and wrap ErrDigest, ErrUnsafe,
// ErrTooLarge, io.ErrUnexpectedEOF (truncated) or the system's. OCI image spec,
// layer.md.
func (im *Image) Unpack(dir string) (err error) {
	created, err := prepare(dir)
	if err != nil {
		return fmt.Errorf("unpack to %s: %w", dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, discard(dir, created))
		}
	}()
	root, err := openRoot(dir)
	if err != nil {
		return err
	}
	defer root.close()
	u := &unpacker{root: root, limits: im.limits, buf: make([]byte, 256<<10)}
	for i, l := range im.layers {
		// Nothing is under the first layer, so nothing needs to be told apart.
		if i > 0 {
			u.mine = make(map[entryKey]bool)
		}
		packed := u.limits.bytes - u.read
		err := l.read(im.files, packed, func(r io.Reader) error { return u.apply(&counted{r, &u.read}) })
		if err != nil {
			return fmt.Errorf("layer %d of %d: %w", i+1, len(im.layers), err)
		}
	}
	return nil
}

// prepare makes sure that dir is there and empty.
func prepare(dir string) (created bool, err error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return false, err
	}
	err = os.Mkdir(dir, 0o755)
	if err == nil {
		return true, os.Chmod(dir, 0o755)
	}
	if !errors.Is(err, os.ErrExist) {
		return false, cause(err)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return false, cause(err)
	}
	if len(names) > 0 {
		return false, fmt.Errorf("directory is not empty")
	}
	return false, nil
}

// discard empties dir, and removes it if this package created it.
func discard(dir string, created bool) error {
	if created {
		return os.RemoveAll(dir)
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// counted adds what is read to a total.
type counted struct {
	io.Reader
	total *int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	*c.total += int64(n)
	return n, err
}

// unpacker applies layers to a root.
type unpacker struct {
	root    *root
	limits  limits
	read    int64 // bytes of uncompressed layers
	written int64 // bytes of files
	entries int64
	buf     []byte

	mine map[entryKey]bool // what the current layer made; nil in the first
	dirs []dirTime         // whose times the current layer has to set at its end
}

// entryKey names a directory entry however it was reached: two names can lead
// to one directory, through a symbolic link.
type entryKey struct {
	parent uint64 // inode number
	base   string
}

type dirTime struct {
	name string
	hdr  *tar.Header
}

// apply applies one layer, a plain tar archive.
func (u *unpacker) apply(r io.Reader) error {
	u.dirs = nil
	for tr := tar.NewReader(r); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			return u.setDirTimes()
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return err
		}
		if u.entries++; u.entries > u.limits.entries {
			return fmt.Errorf("more than %d entries: %w", u.limits.entries, ErrTooLarge)
		}
		if err := u.entry(hdr, tr); err != nil {
			return fmt.Errorf("entry %q: %w", hdr.Name, err)
		}
	}
}

func (u *unpacker) entry(hdr *tar.Header, content io.Reader) error {
	if hdr.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := cleanName(hdr.Name)
	if err != nil {
		return err
	}
	if name == "." {
		return u.rootEntry(hdr)
	}
	dir, base := splitName(name)
	if strings.HasPrefix(base, whiteoutPrefix) || strings.HasPrefix(name, aufsPrefix) {
		return u.whiteout(dir, base)
	}
	parent, err := u.root.makeDir(dir, maxHops)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	if err := u.create(parent, base, hdr, content); err != nil {
		return err
	}
	if hdr.Typeflag == tar.TypeDir {
		u.dirs = append(u.dirs, dirTime{name, hdr})
	}
	return u.mark(parent, base)
}

// maxHops is how many dangling links are followed for one name, as many links
// as the kernel follows.
const maxHops = 40

// rootEntry sets the attributes of the root directory itself.
func (u *unpacker) rootEntry(hdr *tar.Header) error {
	if hdr.Typeflag != tar.TypeDir {
		return fmt.Errorf("%w: the root is not a directory", ErrUnsafe)
	}
	fd, err := u.root.dir(".")
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	u.dirs = append(u.dirs, dirTime{".", hdr})
	return setAttributes(fd, ".", hdr)
}

// mark remembers that the current layer made an entry.
func (u *unpacker) mark(parent int, base string) error {
	if u.mine == nil {
		return nil
	}
	inode, err := inodeOf(parent)
	if err == nil {
		u.mine[entryKey{inode, base}] = true
	}
	return err
}

// setDirTimes comes last because every new entry changes its directory's time.
func (u *unpacker) setDirTimes() error {
	for _, d := range u.dirs {
		dir, base := splitName(d.name)
		fd, err := u.root.dir(dir)
		if err == nil {
			err = setTime(fd, base, d.hdr)
			unix.Close(fd)
		}
		// The layer may have replaced it with something else since.
		if err != nil && err != unix.ENOENT && err != unix.ENOTDIR {
			return fmt.Errorf("entry %q: set time: %w", d.name, err)
		}
	}
	return nil
}

func splitName(name string) (dir, base string) {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return ".", name
	}
	return name[:i], name[i+1:]
}

func inodeOf(fd int) (uint64, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return st.Ino, err
}
