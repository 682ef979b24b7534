package proxy

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"kata/oci"
	"kata/rootfs"
)

// makeMountPoints makes what is missing in a root filesystem that the guest may not
// write: the mount points and the working directory, as they would be made in one
// that it may. Other root filesystems are left to the guest.
func makeMountPoints(b *oci.Bundle) error {
	if !b.Spec.Root.Readonly {
		return nil
	}
	fd, err := unix.Open(b.Rootfs, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("root.path: %s: %w", b.Rootfs, err)
	}
	defer unix.Close(fd)
	root := rootfs.Root{FD: fd}
	var covered []string
	need := func(target string, file bool) error {
		target = path.Join("/", target)
		for _, c := range covered {
			if target == c || strings.HasPrefix(target, c+"/") {
				return nil // it is made in what is mounted there
			}
		}
		fd, _, err := root.Make(target, file)
		if errors.Is(err, unix.EROFS) {
			return nil // it may be there all the same, by what the guest mounts
		}
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
	for i, m := range b.Spec.Mounts {
		st, err := os.Stat(m.Source)
		if err := need(m.Destination, oci.IsBind(&m) && err == nil && !st.IsDir()); err != nil {
			return fmt.Errorf("mounts[%d].destination: %s: %w", i, m.Destination, err)
		}
		covered = append(covered, path.Join("/", m.Destination))
	}
	if err := need(b.Spec.Process.Cwd, false); err != nil {
		return fmt.Errorf("process.cwd: %s: %w", b.Spec.Process.Cwd, err)
	}
	return nil
}
