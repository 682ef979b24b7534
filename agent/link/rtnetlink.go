package link

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// conn is a netlink socket. Requests are answered in order, one at a time.
type conn struct {
	fd  int
	seq uint32
}

func dial() (*conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return &conn{fd: fd}, nil
}

func (c *conn) close() { unix.Close(c.fd) }

// message is the part of a request after its header.
type message []byte

// attr appends an attribute; an empty value is left out.
func (m *message) attr(kind int, value []byte) {
	if len(value) == 0 {
		return
	}
	b := binary.NativeEndian.AppendUint16(*m, uint16(unix.SizeofRtAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, uint16(kind))
	b = append(b, value...)
	for len(b)%unix.RTA_ALIGNTO != 0 {
		b = append(b, 0)
	}
	*m = b
}

// number appends a 32 bit attribute; 0 is left out.
func (m *message) number(kind int, value uint32) {
	if value != 0 {
		m.attr(kind, binary.NativeEndian.AppendUint32(nil, value))
	}
}

// call sends a request and waits for its acknowledgement.
func (c *conn) call(kind, flags int, body message) error {
	c.seq++
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, uint16(kind))
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.NLM_F_REQUEST|unix.NLM_F_ACK|flags))
	b = binary.NativeEndian.AppendUint32(b, c.seq)
	b = append(binary.NativeEndian.AppendUint32(b, 0), body...)
	if err := unix.Sendto(c.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	for {
		n, _, err := unix.Recvfrom(c.fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(buf[4:]) != unix.NLMSG_ERROR || binary.NativeEndian.Uint32(buf[8:]) != c.seq {
			continue
		}
		if e := int32(binary.NativeEndian.Uint32(buf[unix.SizeofNlMsghdr:])); e != 0 {
			return unix.Errno(-e)
		}
		return nil
	}
}

// family of an address in network order.
func family(addr []byte) uint8 {
	if len(addr) == 16 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// ifinfo is the start of a message about device index (struct ifinfomsg).
func ifinfo(index int, flags, change uint32) message {
	m := make(message, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(m[4:], uint32(index))
	binary.NativeEndian.PutUint32(m[8:], flags)
	binary.NativeEndian.PutUint32(m[12:], change)
	return m
}
