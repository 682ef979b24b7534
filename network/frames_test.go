package network

import (
	"encoding/binary"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	segment, segments = 1000, 10
	headers           = 14 + 20 + 8
)

// sendSegments has the peer send one datagram that is many for the wire.
func sendSegments(t *testing.T, peer *Namespace) {
	t.Helper()
	within(t, peer, func() error {
		c, err := net.Dial("udp4", "10.1.0.2:5300")
		if err != nil {
			return err
		}
		defer c.Close()
		raw, err := c.(*net.UDPConn).SyscallConn()
		if err != nil {
			return err
		}
		_ = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, segment) })
		if err != nil {
			return err
		}
		_, err = c.Write(make([]byte, segment*segments))
		return err
	})
}

// A datagram of many segments, sent by the other end of a veth pair, comes as the host's
// stack has it to who takes long frames, and in frames of the wire to others.
func TestFrames(t *testing.T) {
	for carrier, want := range map[Carrier][]int{LongPackets: {virtioHeader + headers + segment*segments},
		Packets: {headers + segment, headers + segment, headers + segment}} {
		pod, peer := pair(t)
		ip(t, peer, "neigh replace 10.1.0.2 lladdr 02:00:00:00:00:02 dev b nud permanent")
		to, err := NewTakeover(pod, carrier)
		if err != nil {
			t.Fatal(err)
		}
		defer to.Close()
		if err := to.Sync(func(net.HardwareAddr, *Interface) error { return nil }); err != nil {
			t.Fatal(err)
		}
		sendSegments(t, peer)
		for i, n := range want {
			long := carrier == LongPackets
			frame := nextDatagram(t, to.Devices()[0].Socket, long)
			if len(frame) != n {
				t.Errorf("long frames %v: frame %d has %d bytes, want %d", long, i, len(frame), n)
			}
			if size := binary.NativeEndian.Uint16(frame[4:]); long && size != segment {
				t.Errorf("the header says segments of %d bytes, want %d", size, segment)
			}
		}
	}
}

// virtioHeader is the length of a struct virtio_net_hdr.
const virtioHeader = 10

// nextDatagram is the next frame with a datagram to port 5300.
func nextDatagram(t *testing.T, f *os.File, long bool) []byte {
	t.Helper()
	b := make([]byte, 1<<16)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}, 1000); n == 0 {
			continue
		}
		n, err := unix.Read(int(f.Fd()), b)
		if err != nil {
			t.Fatal(err)
		}
		frame := b[:n]
		if long {
			frame = frame[virtioHeader:]
		}
		if len(frame) > 42 && binary.BigEndian.Uint16(frame[12:]) == unix.ETH_P_IP && frame[23] == unix.IPPROTO_UDP && binary.BigEndian.Uint16(frame[36:]) == 5300 {
			return b[:n]
		}
	}
	t.Fatal("no frame comes")
	return nil
}
