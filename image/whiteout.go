package image

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// OCI image spec, layer.md, "Whiteouts" and "Opaque Whiteout".
const (
	whiteoutPrefix = ".wh."
	opaqueWhiteout = ".wh..wh..opq"
	aufsPrefix     = ".wh..wh." // bookkeeping of AUFS, in old images
)

// whiteout removes what lower layers put at dir; what the current layer made
// stays, whatever the order of the entries.
func (u *unpacker) whiteout(dir, base string) error {
	if u.mine == nil {
		return nil
	}
	target := strings.TrimPrefix(base, whiteoutPrefix)
	switch {
	case base == opaqueWhiteout:
	case strings.HasPrefix(base, aufsPrefix), !strings.HasPrefix(base, whiteoutPrefix):
		return nil
	case target == "" || target == "." || target == "..":
		return fmt.Errorf("%w: whiteout of %q", ErrUnsafe, target)
	}
	parent, err := u.root.dir(dir)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	if base == opaqueWhiteout {
		_, err = removeChildren(parent, u.mine)
	} else {
		_, err = remove(parent, target, u.mine)
	}
	return err
}

// remove removes an entry with all under it, but for what keep has and the
// directories on the way there. It never follows a symbolic link. It is no
// error if the entry is not there.
func remove(parent int, base string, keep map[entryKey]bool) (kept bool, err error) {
	if keep != nil {
		inode, err := inodeOf(parent)
		if err != nil {
			return false, err
		}
		kept = keep[entryKey{inode, base}]
	}
	if !kept {
		switch err := unix.Unlinkat(parent, base, 0); err {
		case nil, unix.ENOENT:
			return false, nil
		case unix.EISDIR: // go on
		default:
			return false, &os.PathError{Op: "remove", Path: base, Err: err}
		}
	}
	dir, err := unix.Openat(parent, base, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOTDIR && kept {
		return true, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "open", Path: base, Err: err}
	}
	defer unix.Close(dir)
	keptChild, err := removeChildren(dir, keep)
	if err != nil || kept || keptChild {
		return true, err
	}
	if err := unix.Unlinkat(parent, base, unix.AT_REMOVEDIR); err != nil {
		return false, &os.PathError{Op: "remove", Path: base, Err: err}
	}
	return false, nil
}

func removeChildren(dir int, keep map[entryKey]bool) (kept bool, err error) {
	names, err := children(dir)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		k, err := remove(dir, name, keep)
		if err != nil {
			return false, err
		}
		kept = kept || k
	}
	return kept, nil
}
