package network

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// bufferBytes is how much of each direction a socket keeps: frames of up to 64 KiB
// come in bursts.
const bufferBytes = 4 << 20

// socket opens a packet socket that hears nothing until it is bound. With long frames,
// see NewTakeover.
func (n *Namespace) socket(long bool) (*os.File, error) {
	var f *os.File
	err := n.inside(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("packet socket: %w", err)
		}
		f = os.NewFile(uintptr(fd), "packet socket")
		return nil
	})
	if err != nil {
		return nil, err
	}
	headers := 0
	if long {
		headers = 1
	}
	for _, o := range []struct{ level, name, value int }{
		{unix.SOL_PACKET, unix.PACKET_VNET_HDR, headers},
		{unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1}, // what the guest has sent does not come back
		{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bufferBytes},
		{unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, bufferBytes},
	} {
		if err := unix.SetsockoptInt(int(f.Fd()), o.level, o.name, o.value); err != nil {
			f.Close()
			return nil, fmt.Errorf("packet socket, option %d: %w", o.name, err)
		}
	}
	return f, nil
}

// bind connects a socket with an interface.
func bind(f *os.File, index int) error {
	all := uint16(unix.ETH_P_ALL)<<8 | uint16(unix.ETH_P_ALL)>>8
	return unix.Bind(int(f.Fd()), &unix.SockaddrLinklayer{Protocol: all, Ifindex: index})
}
