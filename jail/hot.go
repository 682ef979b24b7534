package jail

import (
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Attach lets one more host file or directory into a running jail. The jail's
// processes have no part in it and gain nothing by it: a thread of the owner
// enters the jail's mount namespace with the host's privileges, and the root
// stays read-only for those inside.
func (p *Process) Attach(b Bind) error {
	tree, dir, err := openBind(b)
	if err != nil {
		return fmt.Errorf("jail: let %s in: %w", b.Source, err)
	}
	defer tree.Close()
	err = p.inside(func() error {
		root, err := writableRoot()
		if err != nil {
			return err
		}
		defer unix.Close(root)
		if err := mountPoint(root, relative(b.Target), dir); err != nil {
			return err
		}
		// Nobody inside can write to the root: its paths have no links.
		return unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, path.Clean(b.Target), unix.MOVE_MOUNT_F_EMPTY_PATH)
	})
	if err != nil {
		return fmt.Errorf("jail: let %s in at %s: %w", b.Source, b.Target, err)
	}
	return nil
}

// Detach takes away what Attach or Start has let in at target. A process that has
// it open keeps what it has opened.
func (p *Process) Detach(target string) error {
	err := p.inside(func() error {
		if err := unix.Unmount(path.Clean(target), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return err
		}
		root, err := writableRoot()
		if err != nil {
			return err
		}
		defer unix.Close(root)
		err = unix.Unlinkat(root, relative(target), unix.AT_REMOVEDIR)
		if errors.Is(err, unix.ENOTDIR) {
			err = unix.Unlinkat(root, relative(target), 0)
		}
		if err != nil {
			return err
		}
		for d := path.Dir(relative(target)); strings.Contains(d, "/"); d = path.Dir(d) { // the first is the jail's
			if unix.Unlinkat(root, d, unix.AT_REMOVEDIR) != nil {
				break // other things are in it
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("jail: take %s away: %w", target, err)
	}
	return nil
}

func relative(target string) string { return strings.TrimPrefix(path.Clean(target), "/") }

// inside runs f on a thread in the jail's mount namespace, which is thrown away
// afterwards.
func (p *Process) inside(f func() error) error {
	pidfd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	select {
	case <-p.exited: // else the descriptor is PID 1's: its id is in use until it is collected
		return errors.New("the jail has ended")
	default:
	}
	errc := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			err = unix.Setns(pidfd, unix.CLONE_NEWNS)
		}
		if err == nil {
			err = f()
		}
		errc <- err
	}()
	return <-errc
}

// writableRoot is the jail's root by a mount that nobody else has: mount points can
// be made there, while the jail's own view of it is read-only.
func writableRoot() (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open the root: %w", err)
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("write to the root: %w", err)
	}
	return fd, nil
}

// mountPoint makes a directory or a file, and the directories above it.
func mountPoint(root int, name string, dir bool) error {
	for i, c := range name {
		if c == '/' {
			if err := unix.Mkdirat(root, name[:i], 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
				return &os.PathError{Op: "mkdir", Path: name[:i], Err: err}
			}
		}
	}
	if dir {
		if err := unix.Mkdirat(root, name, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			return &os.PathError{Op: "mkdir", Path: name, Err: err}
		}
		return nil
	}
	fd, err := unix.Openat(root, name, unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: name, Err: err}
	}
	return unix.Close(fd)
}
