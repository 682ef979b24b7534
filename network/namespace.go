package network

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// ErrHost says that a namespace is the host's own.
var ErrHost = errors.New("is the host's network namespace: a machine would take the host's interfaces away from it; give the container a namespace of its own")

// Namespace is a network namespace, held open.
type Namespace struct {
	file   *os.File
	handle *netlink.Handle
}

// Open takes over f, a descriptor of a network namespace. Errors: ErrHost.
func Open(f *os.File) (*Namespace, error) {
	if err := check(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("network namespace %s: %w", f.Name(), err)
	}
	n := &Namespace{file: f}
	err := n.inside(func() (err error) {
		n.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("network namespace %s: %w", f.Name(), err)
	}
	return n, nil
}

// check refuses what is no network namespace, and those of this process and of the
// host's first process.
func check(f *os.File) error {
	if kind, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE); err != nil || kind != unix.CLONE_NEWNET {
		return errors.New("is no network namespace")
	}
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	// Not /proc/self: that is the main thread, which may have been used, see onThread.
	for _, host := range []string{"/proc/1/ns/net", "/proc/thread-self/ns/net"} {
		if fi, err := os.Stat(host); err == nil && os.SameFile(fi, mine) {
			return ErrHost
		}
	}
	return nil
}

// OpenPath opens the namespace that path names, without taking it over. Errors:
// ErrHost.
func OpenPath(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := check(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s %w", path, err)
	}
	return f, nil
}

// Make makes a namespace with a loopback interface only. It lasts as long as somebody
// has it open or is in it.
func Make() (ns *os.File, err error) {
	err = onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		ns, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return ns, err
}

// Enter calls f on a thread in the namespace ns.
func Enter(ns *os.File, f func() error) error {
	return onThread(func() error {
		if err := netns.Set(netns.NsHandle(ns.Fd())); err != nil {
			return fmt.Errorf("enter the network namespace: %w", err)
		}
		return f()
	})
}

func (n *Namespace) inside(f func() error) error { return Enter(n.file, f) }

// onThread calls f on a thread that is thrown away afterwards, or put aside if it is
// the main one: it may have other namespaces than the rest of the process.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}

// Close lets the namespace go.
func (n *Namespace) Close() {
	n.handle.Close()
	n.file.Close()
}
