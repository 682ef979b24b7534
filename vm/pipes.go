package vm

import (
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// ChannelPair makes the byte stream between host and agent for a monitor that
// takes an inherited descriptor: its end of it is guest, which the caller closes
// once the monitor has it.
func ChannelPair() (host net.Conn, guest *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	file, guest := os.NewFile(uintptr(fds[0]), "channel"), os.NewFile(uintptr(fds[1]), "channel")
	defer file.Close()
	// A large buffer lets the guest write a message with one switch of context.
	_ = unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20)
	_ = unix.SetsockoptInt(fds[1], unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20)
	if host, err = net.FileConn(file); err != nil {
		guest.Close()
		return nil, nil, err
	}
	return host, guest, nil
}

// ConsolePipe returns a descriptor for a monitor to write the guest's console to;
// what it writes goes to w, or nowhere if w is nil, until all have closed it.
func ConsolePipe(w io.Writer) (*os.File, error) {
	r, guest, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	if w == nil {
		w = io.Discard
	}
	go func() {
		_, _ = io.Copy(w, r) // ends with the machine
		r.Close()
	}()
	return guest, nil
}
