package container

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// fence is what confines every process of a container alike.
type fence struct {
	seccomp     api.Seccomp
	personality uint32
	ids         *identity
	clock       *clock
}

func newFence(req *api.CreateRequest, find Find) (*fence, error) {
	ids, err := newIdentity(req, find)
	if err != nil {
		return nil, err
	}
	c, err := newClock(req, find)
	return &fence{req.Seccomp, req.Personality, ids, c}, err
}

func (f *fence) filtered() bool { return len(f.seccomp.Program) > 0 }

// addFilter installs a system call filter; every later step is subject to it.
func (s *script) addFilter(f *api.Seccomp) {
	s.keep = append(s.keep, f.Program)
	prog := &unix.SockFprog{Len: uint16(len(f.Program) / int(unsafe.Sizeof(unix.SockFilter{}))),
		Filter: (*unix.SockFilter)(unsafe.Pointer(&f.Program[0]))}
	s.add("linux.seccomp", 0, unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(f.Flags), mem(s, prog))
}

// addAttributes sets how the kernel treats the process. It takes privileges.
func (s *script) addAttributes(p *api.Process, f *fence) {
	if f.personality != 0 {
		s.add("linux.personality", 0, unix.SYS_PERSONALITY, uintptr(f.personality))
	}
	if len(p.CPUAffinity) > 0 {
		mask := append([]byte{}, p.CPUAffinity...)
		s.keep = append(s.keep, mask)
		s.add("process.execCPUAffinity", 0, unix.SYS_SCHED_SETAFFINITY, 0, uintptr(len(mask)), uintptr(unsafe.Pointer(&mask[0])))
	}
	if a := p.Scheduler; a != nil {
		s.add("process.scheduler", 0, unix.SYS_SCHED_SETATTR, 0, mem(s, &unix.SchedAttr{Size: unix.SizeofSchedAttr,
			Policy: a.Policy, Flags: a.Flags, Nice: a.Nice, Priority: a.Priority,
			Runtime: a.Runtime, Deadline: a.Deadline, Period: a.Period}), 0)
	}
	if p.IOPriority != 0 {
		const whoProcess = 1 // IOPRIO_WHO_PROCESS
		s.add("process.ioPriority", 0, unix.SYS_IOPRIO_SET, whoProcess, 0, uintptr(p.IOPriority))
	}
}
