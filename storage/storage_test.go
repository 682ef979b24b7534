package storage_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kata/storage"
	"kata/test/loop"
)

func TestOpen(t *testing.T) {
	disk := loop.New(t, 1<<20)
	for _, write := range []bool{true, false} {
		d, err := storage.Open(disk.Major, disk.Minor, write)
		if err != nil {
			t.Fatal(err)
		}
		defer d.File.Close()
		_, err = d.File.WriteAt([]byte("text"), 512)
		if d.ReadOnly == write || (err == nil) != write || err != nil && !errors.Is(err, unix.EBADF) {
			t.Errorf("opened for writing: %v; read-only %v, a write says %v", write, d.ReadOnly, err)
		}
		b := make([]byte, 4)
		if _, err := d.File.ReadAt(b, 512); err != nil || string(b) != "text" {
			t.Errorf("%q, %v", b, err)
		}
		if again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", d.File.Fd()), os.O_RDWR, 0); !errors.Is(err, unix.EACCES) {
			again.Close()
			t.Errorf("the device was opened again through its descriptor: %v", err)
		}
	}
}

func TestOpenReadOnlyDevice(t *testing.T) {
	disk := loop.New(t, 1<<20, loop.ReadOnly)
	d, err := storage.Open(disk.Major, disk.Minor, true)
	if err != nil {
		t.Fatal(err)
	}
	defer d.File.Close()
	if !d.ReadOnly {
		t.Error("a device that cannot be written was opened for writing")
	}
}

func TestNoDevice(t *testing.T) {
	disk := loop.New(t, 0)
	const far = 1<<20 - 1
	for _, tc := range []struct {
		minor uint32
		want  string
	}{{disk.Minor, "it is empty"}, {far, "there is none"}} {
		_, err := storage.Open(disk.Major, tc.minor, true)
		if want := fmt.Sprintf("block device %d:%d of the host: %s", disk.Major, tc.minor, tc.want); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := os.Stat(fmt.Sprintf("/sys/dev/block/%d:%d", disk.Major, far)); err == nil {
		t.Error("the attempt made a device")
	}
}
