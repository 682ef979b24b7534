package network

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// tapPrefix begins the names of our tap devices, which are no interfaces of a pod.
const tapPrefix = "kata-"

// Tap is a tap device: a machine reads from its queues what is sent to the device, and
// what it writes to them arrives there. Each frame has a struct virtio_net_hdr in front
// that says what is still to do. The device ends with the last descriptor of its queues,
// whoever has that.
type Tap struct {
	// Queues are for the machine to inherit. They stay the Tap's.
	Queues []*os.File

	ns     *os.File // where it is; the caller's
	name   string
	index  int
	parked bool
}

// NewTap makes a tap device in a namespace. One that is parked waits there until a
// Takeover fetches it to where an interface is; the namespace has to be one that ends
// with its descriptors, and the device then ends with it. That is for the sake of time:
// the host takes some 16 ms for the end of a device, and no longer for that of a
// namespace with many.
func NewTap(ns *os.File, queues int, parked bool) (*Tap, error) {
	t := &Tap{ns: ns, name: fmt.Sprintf("%s%08x", tapPrefix, rand.Uint32()), parked: parked}
	err := Enter(ns, func() error {
		for range queues {
			if err := t.addQueue(queues > 1); err != nil {
				return err
			}
		}
		link, err := net.InterfaceByName(t.name)
		if err == nil {
			t.index = link.Index
		}
		return err
	})
	if err == nil && parked {
		err = t.persist(1)
	}
	if err != nil {
		t.Close()
		return nil, fmt.Errorf("tap device: %w", err)
	}
	return t, nil
}

// addQueue opens one more queue, and with the first makes the device.
func (t *Tap) addQueue(several bool) error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
	}
	t.Queues = append(t.Queues, os.NewFile(uintptr(fd), t.name))
	r, err := unix.NewIfreq(t.name)
	if err != nil {
		return err
	}
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if several {
		flags |= unix.IFF_MULTI_QUEUE
	}
	r.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, r); err != nil {
		return os.NewSyscallError("TUNSETIFF", err)
	}
	return nil
}

// persist has the device outlive its queues, or not.
func (t *Tap) persist(on int) error {
	return os.NewSyscallError("TUNSETPERSIST", unix.IoctlSetInt(int(t.Queues[0].Fd()), unix.TUNSETPERSIST, on))
}

// fetch brings a parked device to a namespace.
func (t *Tap) fetch(to *Namespace) error {
	if !t.parked {
		return nil
	}
	err := Enter(t.ns, func() error {
		return netlink.LinkSetNsFd(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: t.index}}, int(to.file.Fd()))
	})
	if err != nil {
		return fmt.Errorf("move a tap device: %w", err)
	}
	link, err := to.handle.LinkByName(t.name)
	if err != nil {
		return fmt.Errorf("tap device %s: %w", t.name, err)
	}
	t.ns, t.index, t.parked = to.file, link.Attrs().Index, false
	return t.persist(0)
}

// Close gives the host's descriptors up.
func (t *Tap) Close() {
	for _, f := range t.Queues {
		f.Close()
	}
}

// ownTap says whether a link is the end of a machine, not an interface of the pod.
func ownTap(l netlink.Link) bool {
	return l.Type() == "tuntap" && strings.HasPrefix(l.Attrs().Name, tapPrefix)
}

// down switches a device off when it is closed. It may have gone.
type down struct {
	ns    *Namespace
	index int
}

// Close implements io.Closer.
func (d down) Close() error {
	err := d.ns.handle.LinkSetDown(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: d.index}})
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}
