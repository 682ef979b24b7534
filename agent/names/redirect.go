package names

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"kata/agent/bpf"
)

const cgroupRoot = "/sys/fs/cgroup"

// The registers and offsets of struct bpf_sock_addr (linux/bpf.h) in instructions.
const (
	loadAddress = 0x00000000_0004_12_61 // r2 = user_ip4
	loadPort    = 0x00000000_0018_12_61 // r2 = user_port
	storePort   = 0x00000000_0018_21_63 // user_port = r2
	skip4       = 0x00000000_0004_02_56 // if r2 != ..., skip 4 (32 bits)
	skip2       = 0x00000000_0002_02_56
	load        = 0x00000000_0000_02_b4 // r2 = ...
	allow       = 0x00000001_0000_00_b7 // r0 = 1
	exit        = 0x00000000_0000_00_95
)

// rewrite is a program that makes one port of an IPv4 address another one.
func rewrite(address [4]byte, from, to uint16) []uint64 {
	return []uint64{
		loadAddress, skip4 | uint64(binary.NativeEndian.Uint32(address[:]))<<32,
		loadPort, skip2 | networkOrder(from)<<32,
		load | networkOrder(to)<<32, storePort,
		allow, exit,
	}
}

// networkOrder is how a port looks to a program, in the upper half of an instruction
// once it is shifted there.
func networkOrder(port uint16) uint64 {
	b := binary.BigEndian.AppendUint16(nil, port)
	return uint64(binary.NativeEndian.Uint16(b))
}

// redirect has all processes that ask the address at port 53 ask at port instead, and
// see the answers come from port 53. It lasts until undo is called, which is never nil.
func redirect(address [4]byte, port uint16) (undo func(), err error) {
	root, err := unix.Open(cgroupRoot, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return func() {}, fmt.Errorf("%s: %w", cgroupRoot, err)
	}
	defer unix.Close(root)
	var links []int
	undo = func() {
		for _, fd := range links {
			unix.Close(fd)
		}
	}
	for _, p := range []struct {
		where    uint32
		from, to uint16
	}{
		{unix.BPF_CGROUP_INET4_CONNECT, dnsPort, port},
		{unix.BPF_CGROUP_UDP4_SENDMSG, dnsPort, port},
		{unix.BPF_CGROUP_UDP4_RECVMSG, port, dnsPort},
		{unix.BPF_CGROUP_INET4_GETPEERNAME, port, dnsPort},
	} {
		fd, err := attach(root, p.where, rewrite(address, p.from, p.to))
		if err != nil {
			return undo, fmt.Errorf("lead questions to port %d: %w", port, err)
		}
		links = append(links, fd)
	}
	return undo, nil
}

func attach(cgroup int, where uint32, program []uint64) (int, error) {
	prog, err := bpf.Load(unix.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, where, program)
	if err != nil {
		return -1, err
	}
	defer unix.Close(prog)
	return bpf.Link(prog, cgroup, where)
}
