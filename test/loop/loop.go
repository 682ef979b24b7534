// Package loop gives tests a block device of the host: a loop device over a file that
// is gone with the test. It is not for anything but tests.
package loop

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Device is a block device.
type Device struct {
	Path, File   string // the node, and the file behind it
	Major, Minor uint32
}

// ReadOnly makes a device that cannot be written.
const ReadOnly = unix.LO_FLAGS_READ_ONLY

// New makes a device of so many bytes. It skips the test on a host without the loop
// driver.
func New(t *testing.T, size int64, flags ...uint32) *Device {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("this host has no loop devices, and a test must not use another: %v", err)
	}
	defer control.Close()
	backing, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer backing.Close()
	config := unix.LoopConfig{Fd: uint32(backing.Fd())}
	for _, f := range flags {
		config.Info.Flags |= f
	}
	for { // another test may take it first
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			t.Fatal(err)
		}
		d := &Device{Path: fmt.Sprintf("/dev/loop%d", n), File: file}
		dev, err := os.OpenFile(d.Path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		err = unix.IoctlLoopConfigure(int(dev.Fd()), &config)
		if err == unix.EBUSY {
			dev.Close()
			continue
		}
		if err != nil {
			dev.Close()
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Fstat(int(dev.Fd()), &st); err != nil {
			t.Fatal(err)
		}
		d.Major, d.Minor = unix.Major(st.Rdev), unix.Minor(st.Rdev)
		t.Cleanup(func() {
			if err := unix.IoctlSetInt(int(dev.Fd()), unix.LOOP_CLR_FD, 0); err != nil {
				t.Error(err)
			}
			dev.Close()
		})
		return d
	}
}
