package network

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// two is "return 2": TCX_DROP where tcx runs it, XDP_PASS where XDP does.
var two = [...]uint64{
	0x00000002_0000_00_b7, // r0 = 2
	0x00000000_0000_00_95, // exit
}

var license = [...]byte{'G', 'P', 'L', 0}

// hold keeps an interface the way that a machine needs it. It lasts until it is let
// go, at the latest with this process, and leaves nothing behind then.
type hold []*os.File

// letGo gives the interface back; nil is fine.
func (h hold) letGo() {
	for _, f := range h {
		f.Close()
	}
}

// hold keeps the host's stack from seeing what arrives at an interface: packet
// sockets get frames before it does. And it has a veth's other end send frames as
// long as the MTU allows, and not those of 64 KiB that ends of one host exchange: as
// long as an XDP program is in their way, which could not read such frames.
// The interfaces of other drivers do not run XDP programs; they are left as they are.
func (n *Namespace) hold(index int) (_ hold, err error) {
	quiet, err := n.attach(unix.BPF_PROG_TYPE_SCHED_CLS, 0, unix.BPF_TCX_INGRESS, index, 0)
	if err != nil {
		return nil, fmt.Errorf("keep the host's stack quiet (tcx, Linux 6.6 or newer): %w", err)
	}
	short, err := n.attach(unix.BPF_PROG_TYPE_XDP, unix.BPF_F_XDP_HAS_FRAGS, unix.BPF_XDP, index, unix.XDP_FLAGS_DRV_MODE)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return hold{quiet}, nil
	}
	if err != nil {
		quiet.Close()
		return nil, fmt.Errorf("ask the other end for short frames (xdp): %w", err)
	}
	return hold{quiet, short}, nil
}

// attach loads the program as one of a kind and attaches it to an interface.
func (n *Namespace) attach(kind, progFlags, where uint32, index int, flags uint32) (*os.File, error) {
	prog, err := load(kind, progFlags)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	defer prog.Close()
	attr := struct{ prog, index, where, flags uint32 }{uint32(prog.Fd()), uint32(index), where, flags}
	var f *os.File
	err = n.inside(func() (err error) {
		f, err = bpf(unix.BPF_LINK_CREATE, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
		return err
	})
	runtime.KeepAlive(prog)
	return f, err
}

func load(kind, flags uint32) (*os.File, error) {
	attr := struct {
		kind, count    uint32
		insns, license uint64
		_              [2]uint32 // log_level, log_size
		_              uint64    // log_buf
		_, flags       uint32    // kern_version
	}{kind: kind, count: uint32(len(two)), insns: uint64(uintptr(unsafe.Pointer(&two))), license: uint64(uintptr(unsafe.Pointer(&license))), flags: flags}
	return bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}

func bpf(command int, attr unsafe.Pointer, size uintptr) (*os.File, error) {
	fd, _, e := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(attr), size)
	if e != 0 {
		return nil, e
	}
	return os.NewFile(fd, "bpf"), nil // the kernel opens it close-on-exec
}
