package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"kata/network"
)

// The ends of a wire, and the port of the peer.
const (
	farAddress, nearAddress = "10.98.0.1", "10.98.0.2"
	peerPort                = 5201
)

// wire is a veth pair between two new network namespaces: a container gets the
// near one, in the far one the benchmark answers the probe. The namespaces have no
// names and end with their descriptors, however the benchmark ends.
type wire struct {
	far, near *os.File
	tcp       net.Listener
	udp       net.PacketConn
}

// newWire makes it and starts to answer.
func newWire() (_ *wire, err error) {
	w := &wire{}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	for _, f := range []**os.File{&w.far, &w.near} {
		if *f, err = network.Make(); err != nil {
			return nil, err
		}
	}
	if err := w.link(); err != nil {
		return nil, fmt.Errorf("veth pair: %w", err)
	}
	err = network.Enter(w.far, func() (err error) {
		if w.tcp, err = net.Listen("tcp4", w.address()); err == nil {
			w.udp, err = net.ListenPacket("udp4", w.address())
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	go serveTCP(w.tcp)
	go serveUDP(w.udp)
	return w, nil
}

// link makes the veth pair and waits until it carries.
func (w *wire) link() error {
	near, err := netlink.NewHandleAt(netns.NsHandle(w.near.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer near.Close()
	far, err := netlink.NewHandleAt(netns.NsHandle(w.far.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer far.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "eth0"
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: "far0", PeerNamespace: netlink.NsFd(w.far.Fd())}
	if err := near.LinkAdd(pair); err != nil {
		return err
	}
	for _, end := range []struct {
		h             *netlink.Handle
		name, address string
	}{{near, "eth0", nearAddress}, {far, "far0", farAddress}} {
		link, err := end.h.LinkByName(end.name)
		if err != nil {
			return err
		}
		addr, err := netlink.ParseAddr(end.address + "/24")
		if err != nil {
			return err
		}
		if err := errors.Join(end.h.AddrAdd(link, addr), end.h.LinkSetUp(link)); err != nil {
			return err
		}
	}
	for range 1000 {
		link, err := near.LinkByName("eth0")
		if err != nil {
			return err
		}
		if link.Attrs().OperState == netlink.OperUp {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("eth0 does not come up")
}

// path is the near namespace for a config.json.
func (w *wire) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), w.near.Fd()) }

// address is where the peer answers.
func (w *wire) address() string { return fmt.Sprintf("%s:%d", farAddress, peerPort) }

// enter calls f, and has the processes that it starts, in the near namespace.
func (w *wire) enter(f func() error) error { return network.Enter(w.near, f) }

func (w *wire) close() {
	if w.tcp != nil {
		w.tcp.Close()
	}
	if w.udp != nil {
		w.udp.Close()
	}
	for _, f := range []*os.File{w.far, w.near} {
		if f != nil {
			f.Close()
		}
	}
}

// serveTCP takes what comes until its end and then says so with one byte, or, if
// the first byte is 'd', sends until nobody takes it any more.
func serveTCP(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			block := make([]byte, 128<<10)
			if _, err := io.ReadFull(c, block[:1]); err != nil {
				return
			}
			for block[0] == 'd' {
				if _, err := c.Write(block); err != nil {
					return
				}
			}
			for {
				if _, err := c.Read(block); err != nil {
					break
				}
			}
			_, _ = c.Write([]byte{'.'})
		}()
	}
}

// serveUDP sends every datagram back.
func serveUDP(c net.PacketConn) {
	block := make([]byte, 2048)
	for {
		n, from, err := c.ReadFrom(block)
		if err != nil {
			return
		}
		_, _ = c.WriteTo(block[:n], from)
	}
}
