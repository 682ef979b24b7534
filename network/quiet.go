package network

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pass is "return XDP_PASS".
var pass = []uint64{
	0x00000002_0000_00_b7, // r0 = 2
	0x00000000_0000_00_95, // exit
}

// sift tells apart what arrives at an interface: register 7 is 1 for what the host's own
// stack is to see, and 0 for all else. Two things are answers to that: datagrams for a
// socket that the host has in the namespace, such as Docker's name server when it asks
// others, and replies of ARP. Register 6 is the frame. It goes on behind its last line.
var sift = []uint64{
	0x00000000_0000_16_bf, // r6 = the frame
	0x00000000_0000_07_b7, // r7 = 0
	0x00000000_004c_12_61, // r2 = data
	0x00000000_0050_13_61, // r3 = data_end
	0x00000000_0000_24_bf, // r4 = r2
	0x0000002a_0000_04_07, // r4 += 42: headers of Ethernet, IPv4, UDP; or all of ARP
	0x00000000_001a_34_2d, // if r4 > r3 goto end
	0x00000000_000c_25_69, // r5 = type of the frame
	0x00000608_0015_05_15, // if r5 == ARP goto arp
	0x00000008_0017_05_55, // if r5 != IPv4 goto end
	0x00000000_000e_25_71, // r5 = version and length of the header
	0x00000045_0015_05_55, // if r5 != 4, 20 bytes goto end
	0x00000000_0017_25_71, // r5 = protocol
	0x00000011_0013_05_55, // if r5 != UDP goto end
	0x00000000_001a_25_61, // struct bpf_sock_tuple: source,
	0x00000000_fff0_5a_63,
	0x00000000_001e_25_61, // destination,
	0x00000000_fff4_5a_63,
	0x00000000_0022_25_61, // their ports
	0x00000000_fff8_5a_63,
	0x00000000_0000_a2_bf, // r2 = the tuple
	0xfffffff0_0000_02_07,
	0x0000000c_0000_03_b7, // r3 = its size
	0xffffffff_0000_04_b7, // r4 = BPF_F_CURRENT_NETNS
	0x00000000_0000_05_b7, // r5 = 0
	0x00000055_0000_00_85, // r0 = bpf_sk_lookup_udp(frame, r2, r3, r4, r5)
	0x00000000_0006_00_15, // if r0 == nothing goto end
	0x00000000_0000_01_bf, // r1 = r0
	0x00000056_0000_00_85, // bpf_sk_release(r1)
	0x00000000_0002_00_05, // goto host
	0x00000000_0014_25_69, // arp: r5 = operation
	0x00000200_0001_05_55, // if r5 != reply goto end
	0x00000001_0000_07_b7, // host: r7 = 1
} // end:

// quiet drops what is not for the host's own stack: packet sockets have it already.
var quiet = slices.Concat(sift, []uint64{
	0x00000000_0002_07_55, // if r7 != 0 goto pass
	0x00000002_0000_00_b7, // r0 = TCX_DROP
	0x00000000_0000_00_95, // exit
	0x00000000_0000_00_b7, // pass: r0 = TCX_PASS
	0x00000000_0000_00_95, // exit
})

var license = [...]byte{'G', 'P', 'L', 0}

// hold keeps an interface the way that a machine needs it. It lasts until it is let
// go, at the latest with this process, and leaves nothing behind then.
type hold []io.Closer

// letGo gives the interface back; nil is fine.
func (h hold) letGo() {
	for _, c := range h {
		c.Close()
	}
}

const needsTCX = "tcx, Linux 6.6 or newer"

// hold keeps the host's stack from seeing what arrives at an interface, see quiet:
// packet sockets get frames before it does. And unless the machine takes long frames, it
// has a veth's other end send frames as long as the MTU allows, and not those of 64 KiB
// that ends of one host exchange: as long as an XDP program is in their way, which could
// not read such frames. The interfaces of other drivers do not run XDP programs; they are
// left as they are.
func (n *Namespace) hold(index int, long bool) (_ hold, err error) {
	silence, err := n.attach(quiet, unix.BPF_PROG_TYPE_SCHED_CLS, 0, unix.BPF_TCX_INGRESS, index, 0)
	if err != nil {
		return nil, fmt.Errorf("keep the host's stack quiet (%s): %w", needsTCX, err)
	}
	if long {
		return hold{silence}, nil
	}
	short, err := n.attach(pass, unix.BPF_PROG_TYPE_XDP, unix.BPF_F_XDP_HAS_FRAGS, unix.BPF_XDP, index, unix.XDP_FLAGS_DRV_MODE)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return hold{silence}, nil
	}
	if err != nil {
		silence.Close()
		return nil, fmt.Errorf("ask the other end for short frames (xdp): %w", err)
	}
	return hold{silence, short}, nil
}

// attach loads a program as one of a kind and attaches it to an interface.
func (n *Namespace) attach(program []uint64, kind, progFlags, where uint32, index int, flags uint32) (*os.File, error) {
	prog, err := load(program, kind, progFlags)
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

func load(program []uint64, kind, flags uint32) (*os.File, error) {
	attr := struct {
		kind, count    uint32
		insns, license uint64
		_              [2]uint32 // log_level, log_size
		_              uint64    // log_buf
		_, flags       uint32    // kern_version
	}{kind: kind, count: uint32(len(program)), insns: uint64(uintptr(unsafe.Pointer(&program[0]))), license: uint64(uintptr(unsafe.Pointer(&license))), flags: flags}
	f, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	runtime.KeepAlive(program)
	return f, err
}

// bpf is bpf(2) with a command that returns a descriptor.
func bpf(command int, attr unsafe.Pointer, size uintptr) (*os.File, error) {
	fd, err := callBPF(command, attr, size)
	if err != nil {
		return nil, err
	}
	return os.NewFile(fd, "bpf"), nil // the kernel opens it close-on-exec
}

// callBPF is bpf(2). A pending signal interrupts the verifier, and Go's scheduler sends
// some: then it is called again.
func callBPF(command int, attr unsafe.Pointer, size uintptr) (uintptr, error) {
	for {
		r, _, e := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(attr), size)
		switch e {
		case 0:
			return r, nil
		case unix.EAGAIN:
			continue
		}
		return 0, e
	}
}
