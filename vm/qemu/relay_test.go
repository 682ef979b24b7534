package qemu

import (
	"bytes"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kata/vm"
)

// TestWire carries frames in both directions; a pair of datagram sockets stands for
// the packet socket and the interface behind it.
func TestWire(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	socket, outside := os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "outside")
	defer outside.Close()
	w, guest, err := newWire(vm.NIC{Socket: socket, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}})
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(guest.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	guest.Close()
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	inside := os.NewFile(uintptr(fd), "inside")
	defer inside.Close()
	socket.Close() // the wire has its own
	w.run()
	long, short := bytes.Repeat([]byte("x"), 9000), []byte("short")
	for _, dir := range []struct {
		name     string
		from, to *os.File
	}{{"out", inside, outside}, {"in", outside, inside}} {
		for _, frame := range [][]byte{long, short} {
			if _, err := dir.from.Write(frame); err != nil {
				t.Fatal(err)
			}
			_ = dir.to.SetReadDeadline(time.Now().Add(time.Minute))
			got := make([]byte, maxFrame)
			n, err := dir.to.Read(got)
			if err != nil || !bytes.Equal(got[:n], frame) {
				t.Errorf("%s: %d bytes, %v; want the %d of one frame", dir.name, n, err, len(frame))
			}
		}
	}
	w.close()
	if _, err := inside.Write(short); err == nil {
		t.Error("the wire is closed and takes a frame")
	}
}
