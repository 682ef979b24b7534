package network

import (
	"bytes"
	"encoding/binary"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	host "kata/check"
)

// tapped is a pod whose interface stands for a machine's tap device, which had waited
// elsewhere, or not.
func tapped(t *testing.T, parked bool) (pod, peer *Namespace, to *Takeover, tap *Tap) {
	t.Helper()
	if r := host.This().Tun(); r != nil {
		t.Skip(r)
	}
	pod, peer = pair(t)
	to, err := NewTakeover(pod, Taps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(to.Close)
	where := to.Devices()[0].Namespace
	if parked {
		if where, err = Make(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { where.Close() })
	}
	if tap, err = NewTap(where, 2, parked); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tap.Close)
	to.UseTaps(func(int) *Tap { return tap })
	if err := to.Sync(func(net.HardwareAddr, *Interface) error { return nil }); err != nil {
		t.Fatal(err)
	}
	return pod, peer, to, tap
}

// What is sent to an interface comes out of the tap device's queues, one long frame as it
// is, and nothing else does; what is written to them leaves by the interface.
func TestTap(t *testing.T) {
	for _, parked := range []bool{false, true} {
		_, peer, to, tap := tapped(t, parked)
		ip(t, peer, "neigh replace 10.1.0.2 lladdr 02:00:00:00:00:02 dev b nud permanent")
		const checksums, tso4, uso4, uso6 = 1, 2, 0x20, 0x40 // TUN_F_* of linux/if_tun.h
		if err := unix.IoctlSetInt(int(tap.Queues[0].Fd()), unix.TUNSETOFFLOAD, checksums|tso4|uso4|uso6); err != nil {
			t.Fatal(err)
		}
		sendSegments(t, peer)
		frame := tap.next(t)
		if want := virtioHeader + headers + segment*segments; len(frame) != want || binary.NativeEndian.Uint16(frame[4:]) != segment {
			t.Errorf("parked %v: a frame of %d bytes, want %d: % x", parked, len(frame), want, frame[:min(len(frame), 60)])
		}
		tap.sends(t, peer)
		// As if the process had been killed: what it had open is closed.
		for _, c := range to.slots[0].held {
			switch c := c.(type) {
			case *os.File:
				c.Close()
			case *fastened:
				c.program.Close()
			}
		}
		tap.sends(t, peer)
	}
}

// next is the next frame from any queue that has IPv4 in it. There is none of the host's
// stack on the way.
func (t *Tap) next(test *testing.T) []byte {
	test.Helper()
	b := make([]byte, 1<<17)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, q := range t.Queues {
			n, err := unix.Read(int(q.Fd()), b)
			if err != nil {
				continue
			}
			if frame := b[:n]; frame[virtioHeader+6] != 2 || frame[virtioHeader+11] != 9 { // the peer's address, see sends
				if binary.BigEndian.Uint16(frame[virtioHeader+12:]) == unix.ETH_P_IP {
					return frame
				}
			}
		}
	}
	test.Fatal("no frame comes")
	return nil
}

// sends writes a datagram to the second queue and expects it at the peer.
func (t *Tap) sends(test *testing.T, peer *Namespace) {
	test.Helper()
	var c net.PacketConn
	var mac net.HardwareAddr
	within(test, peer, func() (err error) {
		link, err := net.InterfaceByName("b")
		if err != nil {
			return err
		}
		mac = link.HardwareAddr
		c, err = net.ListenPacket("udp4", "10.1.0.1:5300")
		return err
	})
	defer c.Close()
	text := []byte("out")
	frame := bytes.Join([][]byte{make([]byte, virtioHeader), mac, {2, 0, 0, 0, 0, 9, 8, 0},
		{0x45, 0, 0, byte(28 + len(text)), 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0, 10, 1, 0, 2, 10, 1, 0, 1},
		{0, 99, 5300 >> 8, 5300 & 0xff, 0, byte(8 + len(text)), 0, 0}, text}, nil)
	header := frame[virtioHeader+14:][:20]
	sum := uint32(0)
	for i := 0; i < len(header); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	binary.BigEndian.PutUint16(header[10:], ^uint16(sum+sum>>16))
	if _, err := unix.Write(int(t.Queues[1].Fd()), frame); err != nil {
		test.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	got := make([]byte, 100)
	n, from, err := c.ReadFrom(got)
	if err != nil || !bytes.Equal(got[:n], text) || from.String() != "10.1.0.2:99" {
		test.Errorf("the peer has %q from %v, %v", got[:n], from, err)
	}
}

// The host's stack is as quiet as with packet sockets, gets its answers, and sends nothing
// to the machine. The end of all leaves nothing.
func TestTapIsApart(t *testing.T) {
	pod, peer, to, tap := tapped(t, true)
	connect := served(t, pod, peer)
	if err := connect(300 * time.Millisecond); err == nil {
		t.Error("the host's stack takes a connection")
	}
	answered(t, pod, peer)
	if list, err := pod.Interfaces(); err != nil || len(list) != 1 {
		t.Errorf("interfaces of the pod: %v, %v", list, err)
	}
	within(t, pod, func() error {
		link, err := net.InterfaceByIndex(tap.index)
		if err != nil {
			return err
		}
		if addrs, err := link.Addrs(); err != nil || len(addrs) > 0 {
			t.Errorf("the tap device has %v, %v", addrs, err)
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		foreign := append(bytes.Repeat([]byte{2}, 12), 8, 0, 'x')
		err = unix.Sendto(fd, append(foreign, make([]byte, 60)...), 0, &unix.SockaddrLinklayer{Ifindex: tap.index})
		if err == unix.ENOBUFS { // how a frame is said to be dropped
			return nil
		}
		return err
	})
	time.Sleep(10 * time.Millisecond)
	for _, q := range tap.Queues {
		b := make([]byte, 1<<16)
		for {
			n, err := unix.Read(int(q.Fd()), b)
			if err != nil {
				break
			}
			if bytes.Equal(b[virtioHeader:][:6], []byte{2, 2, 2, 2, 2, 2}) {
				t.Errorf("the machine hears the host: % x", b[:n])
			}
		}
	}
	to.Close()
	tap.Close()
	if err := connect(time.Minute); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A machine's end stays out of the interfaces of a pod, and another's tap does not.
func TestForeignTap(t *testing.T) {
	if r := host.This().Tun(); r != nil {
		t.Skip(r)
	}
	n := namespace(t, "tuntap add dev tap0 mode tap")
	defer n.Close()
	tap, err := NewTap(n.file, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	list, err := n.Interfaces()
	if err != nil || len(list) != 1 || list[0].Name != "tap0" {
		t.Errorf("interfaces: %+v, %v", list, err)
	}
	tap.Close()
	links, err := n.handle.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, tapPrefix) {
			t.Errorf("%s is left", l.Attrs().Name)
		}
	}
}
