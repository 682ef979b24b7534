package qemu

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"kata/vm"
)

// maxFrame is the largest frame that is carried, in bytes: an IP packet's most, and
// its headers.
const maxFrame = 64<<10 + 64

// wire carries the frames of one network device. QEMU takes sockets of the Internet
// and Unix families only; so it gets one end of a pair, and what the other end has
// goes to the packet socket and back.
type wire struct {
	packet, pair *os.File
}

// newWire returns QEMU's end as well, which the caller closes once QEMU has it.
func newWire(nic vm.NIC) (*wire, *os.File, error) {
	fd, err := unix.FcntlInt(nic.Socket.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("network device %s: %w", nic.MAC, err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		unix.Close(fd)
		return nil, nil, fmt.Errorf("network device %s: %w", nic.MAC, err)
	}
	// Only what does not block is waited for without a thread each.
	for _, fd := range []int{fd, fds[0]} {
		_ = unix.SetNonblock(fd, true) // cannot fail on a socket
	}
	return &wire{os.NewFile(uintptr(fd), "packets"), os.NewFile(uintptr(fds[0]), "frames")}, os.NewFile(uintptr(fds[1]), "frames"), nil
}

// run carries frames until close.
func (w *wire) run() {
	go carry(w.pair, w.packet)
	go carry(w.packet, w.pair)
}

func (w *wire) close() {
	w.packet.Close()
	w.pair.Close()
}

// carry copies frames one by one. One that cannot be sent is lost, as on any
// network: the interface may be down, gone or not there yet.
func carry(to, from *os.File) {
	frame := make([]byte, maxFrame)
	for {
		n, err := from.Read(frame)
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case err != nil && !transient(err):
			return
		case err == nil:
			_, _ = to.Write(frame[:n])
		}
	}
}

// transient are the errors of a packet socket whose interface comes and goes; they
// are reported once.
func transient(err error) bool {
	return errors.Is(err, unix.ENETDOWN) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINTR)
}
