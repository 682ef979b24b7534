package network

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// join connects an interface with a tap device: what arrives at either is sent by the
// other, and never seen by the host's stack, but for what sift says. It is tc's
// redirection, in a form (tcx) that needs no classifier. The interface's part of it ends
// with its descriptor; that of the tap device ends with the device.
func (n *Namespace) join(index int, t *Tap) (_ hold, err error) {
	if err := t.fetch(n); err != nil {
		return nil, err
	}
	h := hold{down{n, t.index}} // first: or the host's stack would hear the guest
	defer func() {
		if err != nil {
			h.letGo()
		}
	}()
	link, err := n.attach(fromInterface(t.index), unix.BPF_PROG_TYPE_SCHED_CLS, 0, unix.BPF_TCX_INGRESS, index, 0)
	if err != nil {
		return nil, fmt.Errorf("redirect frames (%s): %w", needsTCX, err)
	}
	h = append(h, link)
	for where, program := range map[uint32][]uint64{unix.BPF_TCX_INGRESS: fromMachine(index), unix.BPF_TCX_EGRESS: onlyFrom(index)} {
		f, err := n.fasten(program, where, t.index)
		if err != nil {
			return nil, fmt.Errorf("redirect frames of a machine: %w", err)
		}
		h = append(h, f)
	}
	return h, n.up(t)
}

// up switches a tap device on, without an address of its own.
func (n *Namespace) up(t *Tap) error {
	link := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: t.index}}
	const none = 1 // IN6_ADDR_GEN_MODE_NONE of linux/if_link.h
	// A host without IPv6 gives it none anyway.
	if err := n.handle.LinkSetIP6AddrGenMode(link, none); err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
		return fmt.Errorf("tap device: do without addresses: %w", err)
	}
	if err := n.handle.LinkSetUp(link); err != nil {
		return fmt.Errorf("tap device: switch on: %w", err)
	}
	return nil
}

// fastened is a program at a device that stays there when this process is killed: a guest
// that outlives it by a moment must not be heard by the host's stack.
type fastened struct {
	ns      *Namespace
	program *os.File
	where   uint32
	index   int
}

// fasten loads a program and fastens it to a device.
func (n *Namespace) fasten(program []uint64, where uint32, index int) (*fastened, error) {
	p, err := load(program, unix.BPF_PROG_TYPE_SCHED_CLS, 0)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	f := &fastened{n, p, where, index}
	if err := f.call(unix.BPF_PROG_ATTACH); err != nil {
		p.Close()
		return nil, err
	}
	return f, nil
}

func (f *fastened) call(command int) error {
	attr := struct {
		index, program, where, flags uint32
		_                            [4]uint32 // replace_bpf_fd, relative_fd, expected_revision
	}{index: uint32(f.index), program: uint32(f.program.Fd()), where: f.where}
	err := f.ns.inside(func() error {
		_, err := callBPF(command, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
		return err
	})
	runtime.KeepAlive(f.program)
	return err
}

// Close takes the program away. The device may have gone.
func (f *fastened) Close() error {
	err := f.call(unix.BPF_PROG_DETACH)
	return errors.Join(err, f.program.Close())
}

// fromInterface gives what arrives at an interface to a machine's tap device, and what is
// for the host's own stack to both.
func fromInterface(tap int) []uint64 {
	return slices.Concat(sift, []uint64{
		0x00000000_0006_07_15,                  // if r7 == 0 goto only
		0x00000000_0000_61_bf,                  // r1 = the frame
		0x00000000_0000_02_b7 | immediate(tap), // r2 = tap
		0x00000000_0000_03_b7,                  // r3 = 0: to be sent
		0x0000000d_0000_00_85,                  // bpf_clone_redirect(r1, r2, r3)
		0x00000000_0000_00_b7,                  // r0 = TCX_PASS
		0x00000000_0000_00_95,                  // exit
	}, fromMachine(tap)) // only:
}

// fromMachine has the device with an index send what arrives.
func fromMachine(index int) []uint64 {
	return []uint64{
		0x00000000_0000_01_b7 | immediate(index), // r1 = index
		0x00000000_0000_02_b7,                    // r2 = 0: to be sent
		0x00000017_0000_00_85,                    // r0 = bpf_redirect(r1, r2)
		0x00000000_0000_00_95,                    // exit
	}
}

// onlyFrom has a device send what has arrived at the one with an index, and nothing of
// the host's own stack: its neighbour and router discovery is not the machine's business.
func onlyFrom(index int) []uint64 {
	return []uint64{
		0x00000000_0024_11_61,                    // r1 = where the frame arrived
		0x00000000_0002_01_15 | immediate(index), // if r1 == index goto pass
		0x00000002_0000_00_b7,                    // r0 = TCX_DROP
		0x00000000_0000_00_95,                    // exit
		0x00000000_0000_00_b7,                    // pass: r0 = TCX_PASS
		0x00000000_0000_00_95,                    // exit
	}
}

// immediate is a number as the operand of an instruction.
func immediate(n int) uint64 { return uint64(uint32(n)) << 32 }
