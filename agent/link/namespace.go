package link

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Namespace is the network namespace that the devices are in; nil is the guest's own.
func (ds *Devices) Namespace() *os.File {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	return ds.ns
}

// MoveTo takes the devices into another network namespace, which is kept open, and
// makes them there what they are now. Those that are asked for later follow. A
// namespace that belongs to a container's user namespace lets its root change them.
func (ds *Devices) MoveTo(ns *os.File) error {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	ds.ns = ns
	for _, d := range ds.known {
		if err := ds.fetch(d); err != nil {
			return err
		}
	}
	return ds.inside(func(c *conn) error {
		const loopback = 1
		if err := c.call(unix.RTM_NEWLINK, 0, ifinfo(loopback, unix.IFF_UP, unix.IFF_UP)); err != nil {
			return fmt.Errorf("loopback interface: %w", err)
		}
		for _, d := range ds.known {
			want := d.current
			d.current.Name, d.current.MTU, d.current.Up = "", 0, false // what the move took
			d.current.Addresses, d.current.Routes, d.current.Neighbours = nil, nil, nil
			if err := d.configure(c, &want); err != nil {
				return fmt.Errorf("network device for %s: %w", want.Name, err)
			}
			d.current = want
		}
		return nil
	})
}

// fetch moves a device from the guest's own namespace to the one for all.
func (ds *Devices) fetch(d *device) error {
	if ds.ns == nil {
		return nil
	}
	c, err := dial()
	if err != nil {
		return err
	}
	defer c.close()
	if d.verified >= 0 { // it is attached again there
		unix.Close(d.verified)
		d.verified = -1
	}
	m := ifinfo(d.index, 0, unix.IFF_UP)
	m.number(unix.IFLA_NET_NS_FD, uint32(ds.ns.Fd()))
	m.number(unix.IFLA_NEW_IFINDEX, uint32(d.index))
	if err := c.call(unix.RTM_NEWLINK, 0, m); err != nil {
		return fmt.Errorf("move device %d to the container: %w", d.index, err)
	}
	return nil
}

// inside calls f with a socket of the devices' namespace, on a thread in it.
func (ds *Devices) inside(f func(*conn) error) error {
	with := func() error {
		c, err := dial()
		if err != nil {
			return err
		}
		defer c.close()
		return f(c)
	}
	if ds.ns == nil {
		return with()
	}
	errc := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Setns(int(ds.ns.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			err = with()
		}
		errc <- err
	}()
	return <-errc
}
