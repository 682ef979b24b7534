package image

import (
	"archive/tar"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// create makes one entry in the directory parent, in the place of whatever is
// there. It never follows a symbolic link at base.
func (u *unpacker) create(parent int, base string, hdr *tar.Header, content io.Reader) error {
	isDir := hdr.Typeflag == tar.TypeDir
	exists, err := u.makeRoom(parent, base, isDir)
	if err != nil {
		return err
	}
	switch hdr.Typeflag {
	case tar.TypeDir:
		if !exists {
			err = unix.Mkdirat(parent, base, 0o700)
		}
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		err = u.writeFile(parent, base, hdr, content)
	case tar.TypeSymlink:
		err = unix.Symlinkat(hdr.Linkname, parent, base)
	case tar.TypeLink:
		// The other name has the attributes.
		return u.link(parent, base, hdr.Linkname)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		err = makeNode(parent, base, hdr)
	default:
		return fmt.Errorf("type %q is not supported", hdr.Typeflag)
	}
	if err != nil {
		return err
	}
	return setAttributes(parent, base, hdr)
}

// makeRoom removes what is in the entry's place, except that a directory stays
// if a directory is to be there (layer.md, "Applying Changesets").
func (u *unpacker) makeRoom(parent int, base string, isDir bool) (exists bool, err error) {
	var st unix.Stat_t
	err = unix.Fstatat(parent, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if isDir && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return true, nil
	}
	_, err = remove(parent, base, nil)
	return false, err
}

func (u *unpacker) writeFile(parent int, base string, hdr *tar.Header, content io.Reader) error {
	// Not the bytes that come are counted but those the file will have: a
	// sparse entry is small in the archive.
	if hdr.Size > u.limits.bytes-u.written {
		return fmt.Errorf("files have more than %d bytes: %w", u.limits.bytes, ErrTooLarge)
	}
	u.written += hdr.Size
	fd, err := unix.Openat(parent, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), base)
	// Hidden methods, so that the copy uses the one buffer.
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{content}, u.buf)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// link makes a hard link. The other name is resolved inside of the root, and
// the file it names is not followed if it is a symbolic link.
func (u *unpacker) link(parent int, base, target string) error {
	clean, err := cleanName(target)
	if err != nil || clean == "." {
		return fmt.Errorf("%w: hard link to %q", ErrUnsafe, target)
	}
	dir, name := splitName(clean)
	from, err := u.root.dir(dir)
	if err == nil {
		defer unix.Close(from)
		err = unix.Linkat(from, name, parent, base, 0)
	}
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", target, err)
	}
	return nil
}

func makeNode(parent int, base string, hdr *tar.Header) error {
	if hdr.Typeflag == tar.TypeFifo {
		return unix.Mknodat(parent, base, unix.S_IFIFO|0o600, 0)
	}
	if hdr.Devmajor < 0 || hdr.Devmajor > 1<<12-1 || hdr.Devminor < 0 || hdr.Devminor > 1<<20-1 {
		return fmt.Errorf("no such device number: %d, %d", hdr.Devmajor, hdr.Devminor)
	}
	kind := uint32(unix.S_IFCHR)
	if hdr.Typeflag == tar.TypeBlock {
		kind = unix.S_IFBLK
	}
	return unix.Mknodat(parent, base, kind|0o600, int(unix.Mkdev(uint32(hdr.Devmajor), uint32(hdr.Devminor))))
}

// setAttributes sets owner, mode, extended attributes and time, in this order:
// a change of owner drops setuid and capabilities.
func setAttributes(parent int, base string, hdr *tar.Header) error {
	if !validOwner(hdr.Uid) || !validOwner(hdr.Gid) {
		return fmt.Errorf("no such owner: %d:%d", hdr.Uid, hdr.Gid)
	}
	if err := unix.Fchownat(parent, base, hdr.Uid, hdr.Gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("set owner: %w", err)
	}
	if hdr.Typeflag != tar.TypeSymlink {
		if err := unix.Fchmodat(parent, base, uint32(hdr.Mode)&0o7777, 0); err != nil {
			return fmt.Errorf("set mode: %w", err)
		}
	}
	if err := setXattrs(parent, base, hdr); err != nil {
		return err
	}
	if err := setTime(parent, base, hdr); err != nil {
		return fmt.Errorf("set time: %w", err)
	}
	return nil
}

// validOwner: 2^32-1 is (uid_t)-1, which chown(2) takes for "leave it".
func validOwner(id int) bool { return id >= 0 && int64(id) < math.MaxUint32 }

// setTime sets the time of access too, which images do not have.
func setTime(parent int, base string, hdr *tar.Header) error {
	t := unix.Timespec{Sec: hdr.ModTime.Unix(), Nsec: int64(hdr.ModTime.Nanosecond())}
	return unix.UtimesNanoAt(parent, base, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW)
}

const paxXattr = "SCHILY.xattr."

// setXattrs sets what belongs to a container. Others are the host's business:
// a label of its security module, or how an overlay mount on top reads this
// directory. A filesystem without extended attributes is no error.
func setXattrs(parent int, base string, hdr *tar.Header) error {
	for key, value := range hdr.PAXRecords {
		attr, ok := strings.CutPrefix(key, paxXattr)
		if !ok || !portableXattr(attr) {
			continue
		}
		// The kernel has no lsetxattr relative to a directory before 6.13.
		file := "/proc/self/fd/" + strconv.Itoa(parent) + "/" + base
		err := unix.Lsetxattr(file, attr, []byte(value), 0)
		if err == unix.EPERM && strings.HasPrefix(attr, "user.") {
			continue // the kernel allows these on files and directories only
		}
		if err != nil && err != unix.ENOTSUP {
			return fmt.Errorf("set attribute %s: %w", attr, err)
		}
	}
	return nil
}

func portableXattr(attr string) bool {
	switch attr {
	case "security.capability", "system.posix_acl_access", "system.posix_acl_default":
		return true
	}
	return strings.HasPrefix(attr, "user.") && !strings.HasPrefix(attr, "user.overlay.")
}
