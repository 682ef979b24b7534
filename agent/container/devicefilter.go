package container

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"kata/agent/bpf"
)

var noLicense = [1]byte{}

// filterDevices has a program decide which devices the cgroup's processes may make
// and open (BPF_PROG_TYPE_CGROUP_DEVICE), in the place of the one before. Cgroups
// below may have programs that deny more.
func (c *cgroup) filterDevices(program []byte) error {
	if len(program) == 0 {
		return nil
	}
	const instruction = 8 // bytes
	load := struct {
		kind, count    uint32
		insns, license uint64
	}{unix.BPF_PROG_TYPE_CGROUP_DEVICE, uint32(len(program) / instruction),
		uint64(uintptr(unsafe.Pointer(&program[0]))), uint64(uintptr(unsafe.Pointer(&noLicense)))}
	fd, err := bpf.Call(unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load))
	runtime.KeepAlive(program)
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
