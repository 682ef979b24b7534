// Package storage opens block devices of the host for machines. It does not read
// them, does not look into what is on them, and knows no name of them: a name may lead
// anywhere, a number does not.
package storage

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Device is an open block device.
type Device struct {
	// File leads to nothing else: whoever has it cannot open the device again through
	// it, so that one for reading remains one.
	File     *os.File
	ReadOnly bool
}

// Open opens a block device by its number, for reading and, if asked and if the device
// can be written, for writing. It needs the privilege to make device nodes.
func Open(major, minor uint32, write bool) (*Device, error) {
	d, err := open(major, minor, write)
	if err != nil {
		return nil, fmt.Errorf("block device %d:%d of the host: %w", major, minor, err)
	}
	return d, nil
}

func open(major, minor uint32, write bool) (*Device, error) {
	// An attempt to open one that is not there can make it, by a driver's old habit.
	if _, err := os.Stat(fmt.Sprintf("/sys/dev/block/%d:%d", major, minor)); err != nil {
		return nil, errors.New("there is none")
	}
	node, err := makeNode(unix.Mkdev(major, minor))
	if err != nil {
		return nil, err
	}
	defer node.close()
	f, err := node.open(unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	d := &Device{File: f, ReadOnly: true}
	isReadOnly, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKROGET)
	if err == nil && write && isReadOnly == 0 {
		f.Close()
		d.ReadOnly = false
		if d.File, err = node.open(unix.O_RDWR); err != nil {
			return nil, err
		}
	}
	if err == nil {
		err = check(d.File)
	}
	if err == nil {
		err = node.disable()
	}
	if err != nil {
		d.File.Close()
		return nil, err
	}
	return d, nil
}

// check refuses a device with nothing in it: a drive without a medium, a loop device
// without a file.
func check(f *os.File) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil && size == 0 {
		err = errors.New("it is empty: its size is 0")
	}
	return err
}

// node is a device node in a file system that nobody else sees, and that goes when
// it is closed.
type node struct {
	dir    int
	number uint64
}

const nodeName = "disk"

func makeNode(number uint64) (*node, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, err
	}
	dir, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, err
	}
	n := &node{dir, number}
	if err := unix.Mknodat(dir, nodeName, unix.S_IFBLK|0o600, int(number)); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *node) open(mode int) (*os.File, error) {
	fd, err := unix.Openat(n.dir, nodeName, mode|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && (st.Mode&unix.S_IFMT != unix.S_IFBLK || st.Rdev != n.number) {
		err = errors.New("what was opened is another device")
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "block device"), nil
}

// disable makes the node no device: /proc/self/fd of those who have opened it leads
// nowhere then.
func (n *node) disable() error {
	return unix.MountSetattr(n.dir, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NODEV})
}

func (n *node) close() { unix.Close(n.dir) }
