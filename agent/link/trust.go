package link

import (
	"golang.org/x/sys/unix"

	"kata/agent/bpf"
)

// verified tells the kernel that a frame's checksum is right, and lets the frame
// pass: bpf_csum_level(frame, BPF_CSUM_LEVEL_INC), return TCX_NEXT.
var verified = []uint64{
	0x00000001_0000_02_b7, // r2 = BPF_CSUM_LEVEL_INC
	0x00000087_0000_00_85, // call 135
	0xffffffff_0000_00_b7, // r0 = TCX_NEXT
	0x00000000_0000_00_95, // exit
}

// trust has a device's frames taken as correct. A packet socket of the host sees a
// frame of another container of that host before its checksum is filled in: it has
// not been on any wire. The result keeps the program attached.
func trust(index int) (int, error) {
	prog, err := bpf.Load(unix.BPF_PROG_TYPE_SCHED_CLS, 0, verified)
	if err != nil {
		return -1, err
	}
	defer unix.Close(prog)
	return bpf.Link(prog, index, unix.BPF_TCX_INGRESS)
}
