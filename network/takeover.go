package network

import (
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"sync"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Spares are the devices that a machine has beyond the interfaces that are there
// when it starts, for those that come later.
const Spares = 4

// Carrier is how frames get from an interface to a machine and back.
type Carrier int

const (
	// Packets are packet sockets, which hear frames as they are on a wire: the other
	// ends are asked to cut them.
	Packets Carrier = iota
	// LongPackets are packet sockets, which hear frames as the host's stack has them, up
	// to 64 KiB, each after a header that says what is still to do (packet(7),
	// PACKET_VNET_HDR).
	LongPackets
	// Taps are tap devices of the machine's, to which frames are redirected.
	Taps
)

// Device is the host's end of a network device of a machine.
type Device struct {
	// Socket carries the frames; the machine inherits it. Not with Taps.
	Socket *os.File
	// Namespace is, with Taps, where the interface is that the device is for; nil while
	// that is not known.
	Namespace *os.File
	// MAC is the device's first address: the guest finds it by that.
	MAC net.HardwareAddr
}

// Count is how many devices a machine gets that is made when its namespace has n
// interfaces. Whether the first is there already, or comes from an engine that waits for
// the sandbox, makes no other machine of it.
func Count(n int) int { return max(n, 1) + Spares }

// FirstMAC is the address that the device with a number starts with: locally
// administered, and the same for all machines, which may start from one that was saved.
// Before a device has an interface's address, nothing is sent from it.
func FirstMAC(number int) net.HardwareAddr {
	return net.HardwareAddr{2, 'k', 'a', 't', 'a', byte(number)}
}

// Takeover connects the interfaces of a namespace with the devices of a machine.
type Takeover struct {
	ns      *Namespace
	carrier Carrier
	events  *nl.NetlinkSocket

	mu    sync.Mutex
	slots []*slot
	add   func(Device) error // gives the machine another device; nil is a machine that takes none
	tap   func(device int) *Tap
}

// slot is a device and what it stands for. A device whose interface has gone is
// not used again.
type slot struct {
	Device
	held    hold
	current *Interface
	used    bool
}

// Configure makes a device of the guest what an interface is; nil is one that has
// gone.
type Configure func(device net.HardwareAddr, i *Interface) error

// NewTakeover prepares devices for the interfaces of ns, which it takes over, and
// for those that come later.
func NewTakeover(ns *Namespace, carrier Carrier) (_ *Takeover, err error) {
	t := &Takeover{ns: ns, carrier: carrier}
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	list, err := ns.Interfaces()
	if err != nil {
		return nil, err
	}
	for i := range Count(len(list)) {
		s, err := t.newSlot(i, i < len(list))
		if err != nil {
			return nil, err
		}
		t.slots = append(t.slots, s)
	}
	err = ns.inside(func() (err error) {
		t.events, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
			unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
		return err
	})
	return t, err
}

// newSlot prepares a device, for an interface that is there or for one that may come.
func (t *Takeover) newSlot(number int, there bool) (*slot, error) {
	s := &slot{Device: Device{MAC: FirstMAC(number)}}
	var err error
	switch {
	case t.carrier != Taps:
		s.Socket, err = t.ns.socket(t.carrier == LongPackets)
	case there:
		s.Namespace = t.ns.file
	}
	return s, err
}

// UseTaps tells which tap devices the machine's devices are, by number. It has to be
// known before the first Sync.
func (t *Takeover) UseTaps(tap func(device int) *Tap) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tap = tap
}

// OnDemand has add give the machine another device when more interfaces come than it
// was started with devices for.
func (t *Takeover) OnDemand(add func(Device) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add = add
}

// Devices are the host's ends, for the machine. They stay the Takeover's.
func (t *Takeover) Devices() []Device {
	list := make([]Device, len(t.slots))
	for i, s := range t.slots {
		list[i] = s.Device
	}
	return list
}

// Sync compares the namespace with the devices and has configure make the
// difference. It tries all; the errors are joined.
func (t *Takeover) Sync(configure Configure) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	list, err := t.ns.Interfaces()
	if err != nil {
		return err
	}
	there := map[int]*Interface{}
	for i := range list {
		there[list[i].Index] = &list[i]
	}
	var errs []error
	for _, s := range t.slots {
		if s.current == nil {
			continue
		}
		next := there[s.current.Index]
		delete(there, s.current.Index)
		if next == nil || !reflect.DeepEqual(s.current, next) {
			errs = append(errs, s.configure(next, configure))
		}
	}
	for i := range list {
		if next := there[list[i].Index]; next != nil {
			errs = append(errs, t.connect(next, configure))
		}
	}
	return errors.Join(errs...)
}

// connect gives a new interface a device.
func (t *Takeover) connect(i *Interface, configure Configure) error {
	number, err := t.unused()
	if err != nil {
		return fmt.Errorf("interface %s: %w", i.Name, err)
	}
	s := t.slots[number]
	var held hold
	if t.carrier == Taps {
		held, err = t.ns.join(i.Index, t.tap(number))
	} else if held, err = t.ns.hold(i.Index, t.carrier == LongPackets); err == nil {
		err = bind(s.Socket, i.Index)
	}
	if err != nil {
		held.letGo()
		return fmt.Errorf("interface %s: %w", i.Name, err)
	}
	s.used, s.held, s.current = true, held, &Interface{Index: i.Index}
	return s.configure(i, configure)
}

// unused is the number of a device that has stood for no interface yet.
func (t *Takeover) unused() (int, error) {
	for i, s := range t.slots {
		if !s.used {
			return i, nil
		}
	}
	n := len(t.slots)
	if t.add == nil {
		return 0, fmt.Errorf("the machine has no network device left, it was started with %d", n)
	}
	s, err := t.newSlot(n, true)
	if err != nil {
		return 0, err
	}
	if err := t.add(s.Device); err != nil {
		s.Socket.Close()
		return 0, fmt.Errorf("the machine has no network device left, and gets no other beside its %d: %w", n, err)
	}
	t.slots = append(t.slots, s)
	return n, nil
}

func (s *slot) configure(i *Interface, configure Configure) error {
	if err := configure(s.MAC, i); err != nil {
		name := "that has gone"
		if i != nil {
			name = i.Name
		}
		return fmt.Errorf("interface %s: %w", name, err)
	}
	if s.current = i; i == nil {
		s.held.letGo()
		s.held = nil
	}
	return nil
}

// Wait blocks until something in the namespace may have changed. An error is the
// end of the Takeover.
func (t *Takeover) Wait() error {
	_, _, err := t.events.Receive()
	if errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
		return nil // so much has changed that not all could be told
	}
	return err
}

// Close gives the interfaces back.
func (t *Takeover) Close() {
	if t.events != nil {
		t.events.Close()
	}
	for _, s := range t.slots {
		s.held.letGo()
		s.Socket.Close()
	}
	t.ns.Close()
}
