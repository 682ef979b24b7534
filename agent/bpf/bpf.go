// Package bpf loads small programs of BPF into the guest's kernel, by bpf(2).
//
// It does not write programs and does not know what they are for; whoever loads
// one keeps it attached by a descriptor.
package bpf

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

var license = [...]byte{'G', 'P', 'L', 0}

// Load gives a program of instructions to the kernel: kind is BPF_PROG_TYPE_*, and
// attach where it will be attached, for kinds whose programs may do different things
// in different places (else 0). The result is its descriptor.
func Load(kind, attach uint32, program []uint64) (int, error) {
	attr := struct {
		kind, count    uint32
		insns, license uint64
		_              [2]uint32 // log_level, log_size
		_              uint64    // log_buf
		_, _           uint32    // kern_version, prog_flags
		_              [16]byte  // prog_name
		_, attach      uint32    // prog_ifindex
	}{kind: kind, count: uint32(len(program)), insns: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(program)))),
		license: uint64(uintptr(unsafe.Pointer(&license))), attach: attach}
	fd, err := Call(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	runtime.KeepAlive(program)
	return fd, err
}

// Link attaches a program to a target, an interface's index or a cgroup's
// descriptor, for as long as the resulting descriptor is open.
func Link(program, target int, where uint32) (int, error) {
	attr := struct{ program, target, where, flags uint32 }{uint32(program), uint32(target), where, 0}
	return Call(unix.BPF_LINK_CREATE, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}

// Call is bpf(2). A pending signal interrupts the verifier, and Go's scheduler sends
// some: then it is called again.
func Call(command uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
	for {
		r, _, e := unix.Syscall(unix.SYS_BPF, command, uintptr(attr), size)
		switch e {
		case 0:
			return int(r), nil
		case unix.EAGAIN:
			continue
		}
		return -1, e
	}
}
