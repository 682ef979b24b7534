package vmtest

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kata/agent/api"
	"kata/vm"
)

// hotDisks attaches disks to a machine that runs, takes them away and does it again.
func (s *suite) hotDisks(t *testing.T) {
	sb := s.boot(t, s.spec(t))
	defer time.AfterFunc(Patience, sb.Stop).Stop()
	const size = 1 << 20
	if !s.caps.HotDisks {
		if _, err := sb.AddDisks(t.Context(), []vm.Disk{{File: backing(t, size, 'a', os.O_RDWR)}}); !errors.Is(err, vm.ErrNoHotDisks) {
			t.Errorf("the capability is not declared, but AddDisks says %v", err)
		}
		return
	}
	for _, id := range []string{"once", "again"} {
		list := []vm.Disk{{File: backing(t, size, 'a', os.O_RDWR)}, {File: backing(t, size, 'b', os.O_RDONLY), ReadOnly: true}}
		found, err := sb.AddDisks(t.Context(), list)
		if err != nil {
			t.Fatal(err)
		}
		c := container(t, id, "head -c 1 /dev/d0; head -c 1 /dev/d1; printf new >/dev/d0; if echo wrong 2>/dev/null >/dev/d1; then exit 3; fi", nil)
		for i, d := range found {
			c.Request.Devices = append(c.Request.Devices, api.Device{Path: "/dev/d" + string(rune('0'+i)), Mode: unix.S_IFBLK | 0o600, Major: d.Major, Minor: d.Minor})
		}
		c.Request.DeviceFilter = nil // it would be about disks of the host's
		stdio, err := sb.Join(t.Context(), &c.Request, c.Shares)
		if err != nil {
			t.Fatal(err)
		}
		if err := sb.Start(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		out := make([]byte, 3)
		n, _ := stdio[1].Read(out)
		if status, _, err := sb.Wait(id, ""); status != 0 || err != nil || string(out[:n]) != "ab" && string(out[:n]) != "a" {
			t.Errorf("%s: %q, status %d, %v", id, out[:n], status, err)
		}
		stdio.Close()
		if err := sb.Remove(t.Context(), id); err != nil {
			t.Error(err)
		}
		if n := sb.CountDisks(); n != len(list) {
			t.Errorf("the machine is said to have %d disks", n)
		}
		sb.RemoveDisks(t.Context(), []string{list[0].Serial, list[1].Serial})
		if n := sb.CountDisks(); n != 0 {
			t.Errorf("%d disks are left", n)
		}
		b := make([]byte, 4)
		if _, err := list[0].File.ReadAt(b, 0); err != nil || string(b) != "newa" {
			t.Errorf("%s: on the disk is %q, %v", id, b, err)
		}
	}
	// One that cannot be written as it should: none is left of those that went well.
	bad := []vm.Disk{{File: backing(t, size, 'c', os.O_RDWR)}, {File: backing(t, size, 'd', os.O_RDONLY)}}
	if _, err := sb.AddDisks(t.Context(), bad); err == nil {
		t.Error("a file open for reading became a disk to write to")
	}
	if n := sb.CountDisks(); n != 0 {
		t.Errorf("%d disks are left of an attempt that failed", n)
	}
}
