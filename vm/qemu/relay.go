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
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("network device %s: %w", nic.MAC, err)
	}
	// Only what does not block is waited for without a thread each.
	_ = unix.SetNonblock(fds[0], true) // cannot fail on a socket
	w, guest := &wire{pair: os.NewFile(uintptr(fds[0]), "frames")}, os.NewFile(uintptr(fds[1]), "frames")
	if err := w.connect(nic); err != nil {
		w.close()
		guest.Close()
		return nil, nil, err
	}
	return w, guest, nil
}

// connect gives the device its packet socket, if there is one already.
func (w *wire) connect(nic vm.NIC) error {
	if nic.Socket == nil {
		return nil
	}
	fd, err := unix.FcntlInt(nic.Socket.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("network device %s: %w", nic.MAC, err)
	}
	_ = unix.SetNonblock(fd, true)
	w.packet = os.NewFile(uintptr(fd), "packets")
	return nil
}

// run carries frames until close, once there are two ends.
func (w *wire) run() {
	if w.packet != nil {
		go carry(w.pair, w.packet)
		go carry(w.packet, w.pair)
	}
}

func (w *wire) close() {
	if w.packet != nil {
		w.packet.Close()
	}
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
