package link

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// verified tells the kernel that a frame's checksum is right, and lets the frame
// pass: bpf_csum_level(frame, BPF_CSUM_LEVEL_INC), return TCX_NEXT.
var verified = [...]uint64{
	0x00000001_0000_02_b7, // r2 = BPF_CSUM_LEVEL_INC
	0x00000087_0000_00_85, // call 135
	0xffffffff_0000_00_b7, // r0 = TCX_NEXT
	0x00000000_0000_00_95, // exit
}

var license = [...]byte{'G', 'P', 'L', 0}

// trust has a device's frames taken as correct. A packet socket of the host sees a
// frame of another container of that host before its checksum is filled in: it has
// not been on any wire. The result keeps the program attached.
func trust(index int) (int, error) {
	load := struct {
		kind, count    uint32
		insns, license uint64
	}{unix.BPF_PROG_TYPE_SCHED_CLS, uint32(len(verified)), uint64(uintptr(unsafe.Pointer(&verified))), uint64(uintptr(unsafe.Pointer(&license)))}
	prog, _, e := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&load)), unsafe.Sizeof(load))
	if e != 0 {
		return -1, e
	}
	defer unix.Close(int(prog))
	attach := struct{ prog, index, kind, flags uint32 }{uint32(prog), uint32(index), unix.BPF_TCX_INGRESS, 0}
	fd, _, e := unix.Syscall(unix.SYS_BPF, unix.BPF_LINK_CREATE, uintptr(unsafe.Pointer(&attach)), unsafe.Sizeof(attach))
	if e != 0 {
		return -1, e
	}
	return int(fd), nil
}
