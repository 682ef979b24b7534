package vmtest

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"kata/agent/api"
	"kata/vm"
)

// backing makes a file of so many bytes, each of them fill.
func backing(t *testing.T, size int, fill byte, mode int) *os.File {
	t.Helper()
	name := t.TempDir() + "/disk"
	if err := os.WriteFile(name, bytes.Repeat([]byte{fill}, size), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, mode, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// disks gives a machine two disks to write to, one of an odd size, and one to read.
func (s *suite) disks(t *testing.T) {
	if s.caps.MaxDisks == 0 {
		return // by declaration
	}
	const odd, even = 1<<20 + 3*512, 8 << 20
	files := []*os.File{backing(t, odd, 'a', os.O_RDWR), backing(t, even, 'b', os.O_RDONLY), backing(t, even, 'c', os.O_RDWR)}
	spec := s.spec(t)
	for i, f := range files {
		spec.Disks = append(spec.Disks, vm.Disk{File: f, ReadOnly: i == 1, Serial: "serial" + string(rune('A'+i))})
	}
	c := container(t, "disks", `bb() { /bin/busybox "$@"; }
		for d in 0 1 2; do bb blockdev --getsize64 /dev/d$d; bb blockdev --getro /dev/d$d; head -c 3 /dev/d$d; echo; done
		if echo wrong 2>/dev/null >/dev/d1; then exit 3; fi
		printf first | bb dd of=/dev/d0 conv=notrunc 2>/dev/null
		printf last | bb dd of=/dev/d0 bs=1 seek=1050108 conv=notrunc 2>/dev/null
		if printf more | bb dd of=/dev/d0 bs=1 seek=1050112 conv=notrunc 2>/dev/null; then exit 4; fi
		bb dd if=/dev/zero of=/dev/d2 bs=64k count=64 conv=notrunc 2>/dev/null`, nil)
	spec.Shares = c.Shares
	sb := s.boot(t, spec)
	found, err := sb.Disks(t.Context())
	if err != nil || len(found) != len(files) {
		t.Fatalf("%+v, %v", found, err)
	}
	for i, d := range found {
		c.Request.Devices = append(c.Request.Devices, api.Device{Path: "/dev/d" + string(rune('0'+i)), Mode: unix.S_IFBLK | 0o600, Major: d.Major, Minor: d.Minor})
	}
	c.Request.DeviceFilter = nil // it would be about disks of the host's
	out := run(t, sb, c)
	if want := "1050112\n0\naaa\n8388608\n1\nbbb\n8388608\n0\nccc\n"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
	// The machine still runs: the end of the container is enough.
	want := bytes.Repeat([]byte{'a'}, odd)
	copy(want, "first")
	copy(want[1050108:], "last")
	expect(t, files[0], want)
	expect(t, files[1], bytes.Repeat([]byte{'b'}, even))
	expect(t, files[2], append(make([]byte, 4<<20), bytes.Repeat([]byte{'c'}, even-4<<20)...))
}

func expect(t *testing.T, f *os.File, want []byte) {
	t.Helper()
	got, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		i := 0
		for i < min(len(got), len(want)) && got[i] == want[i] {
			i++
		}
		t.Errorf("disk of %d bytes, want %d: differs at %d: %.20q", len(got), len(want), i, got[min(i, len(got)):])
	}
}
