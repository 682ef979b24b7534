package container

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"kata/agent/bpf"
	"kata/agent/devicefilter"
)

// loaded are programs that the kernel has checked already, by their instructions. It is
// written by Rehearse only.
var loaded = map[string]int{}

// loadFilter gives a program to the kernel, and returns its descriptor.
func loadFilter(program []byte) (int, error) {
	if fd, ok := loaded[string(program)]; ok {
		return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	}
	const instruction = 8 // bytes
	instructions := make([]uint64, 0, len(program)/instruction)
	for ; len(program) >= instruction; program = program[instruction:] {
		instructions = append(instructions, binary.LittleEndian.Uint64(program))
	}
	return bpf.Load(unix.BPF_PROG_TYPE_CGROUP_DEVICE, 0, instructions)
}

// Rehearse does what the kernel and this process do once, or as long as they keep its
// result: the usual programs for devices are checked, and a cgroup is made, and removed.
// For machines that are saved, before anything else.
func Rehearse() error {
	c, err := newCgroup("rehearsal", nil)
	if err != nil {
		return err
	}
	defer c.remove()
	for _, program := range devicefilter.Usual() {
		fd, err := loadFilter(program)
		if err != nil {
			return fmt.Errorf("the usual filter of devices: %w", err)
		}
		loaded[string(program)] = fd
		if err := c.filterDevices(program); err != nil {
			return err
		}
	}
	return nil
}

// filterDevices has a program decide which devices the cgroup's processes may make
// and open (BPF_PROG_TYPE_CGROUP_DEVICE), in the place of the one before. Cgroups
// below may have programs that deny more.
func (c *cgroup) filterDevices(program []byte) error {
	if len(program) == 0 {
		return nil
	}
	fd, err := loadFilter(program)
	if err != nil {
		return fmt.Errorf("linux.resources.devices: %w", err)
	}
	attach := struct{ target, program, kind, flags, replaced uint32 }{
		uint32(c.fd), uint32(fd), unix.BPF_CGROUP_DEVICE, unix.BPF_F_ALLOW_MULTI, 0}
	if c.filter > 0 {
		attach.flags |= unix.BPF_F_REPLACE
		attach.replaced = uint32(c.filter)
	}
	if _, err := bpf.Call(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attach), unsafe.Sizeof(attach)); err != nil {
		unix.Close(fd)
		return fmt.Errorf("linux.resources.devices: %w", err)
	}
	if c.filter > 0 {
		unix.Close(c.filter)
	}
	c.filter = fd
	return nil
}
