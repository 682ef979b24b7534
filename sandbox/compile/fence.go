package compile

import (
	"fmt"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/agent/api"
	"kata/oci"
	"kata/sandbox/seccomp"
)

// seccomp compiles linux.seccomp. What needs a supervisor is refused: a descriptor
// of the guest cannot be handed to a process of the host.
func (c *Container) seccomp(p *specs.LinuxSeccomp, arch string) error {
	if p == nil || oci.NoSeccomp(p) {
		return nil
	}
	const why = "a filter's notifications cannot leave the virtual machine"
	switch {
	case p.DefaultAction == specs.ActNotify:
		return field("linux.seccomp.defaultAction", "%s: "+why, p.DefaultAction)
	case p.ListenerPath != "":
		return field("linux.seccomp.listenerPath", why)
	}
	for i, s := range p.Syscalls {
		if s.Action == specs.ActNotify {
			return field(fmt.Sprintf("linux.seccomp.syscalls[%d].action", i), "%s: "+why, s.Action)
		}
	}
	f, err := seccomp.Compile(p, arch)
	if err != nil {
		return field("linux.seccomp", "%v", err)
	}
	c.Request.Seccomp = api.Seccomp{Program: f.Program, Flags: f.Flags}
	return nil
}

// personality compiles linux.personality; PER_LINUX is what a process has anyway.
func (c *Container) personality(p *specs.LinuxPersonality) error {
	const perLinux32 = 8 // linux/personality.h
	switch {
	case p == nil:
		return nil
	case len(p.Flags) > 0:
		return field("linux.personality.flags", "%q: no flag is defined", p.Flags[0])
	case p.Domain == specs.PerLinux32:
		c.Request.Personality = perLinux32
	}
	return nil
}

var schedulerPolicies = map[specs.LinuxSchedulerPolicy]uint32{
	specs.SchedOther: 0, specs.SchedFIFO: 1, specs.SchedRR: 2, specs.SchedBatch: 3,
	specs.SchedISO: 4, specs.SchedIdle: 5, specs.SchedDeadline: 6,
}

var schedulerFlags = map[specs.LinuxSchedulerFlag]uint64{
	specs.SchedFlagResetOnFork: 0x01, specs.SchedFlagReclaim: 0x02, specs.SchedFlagDLOverrun: 0x04,
	specs.SchedFlagKeepPolicy: 0x08, specs.SchedFlagKeepParams: 0x10,
	specs.SchedFlagUtilClampMin: 0x20, specs.SchedFlagUtilClampMax: 0x40,
}

// attributes compiles how the guest's kernel is to treat a process.
func attributes(p *specs.Process, out *api.Process) error {
	if s := p.Scheduler; s != nil {
		a := &api.Scheduler{Policy: schedulerPolicies[s.Policy], Nice: s.Nice, Priority: uint32(s.Priority),
			Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period}
		for i, f := range s.Flags {
			bit, ok := schedulerFlags[f]
			if !ok {
				return field(fmt.Sprintf("process.scheduler.flags[%d]", i), "%q is not a flag of sched_setattr(2)", f)
			}
			a.Flags |= bit
		}
		out.Scheduler = a
	}
	if io := p.IOPriority; io != nil {
		classes := map[specs.IOPriorityClass]uint32{specs.IOPRIO_CLASS_RT: 1, specs.IOPRIO_CLASS_BE: 2, specs.IOPRIO_CLASS_IDLE: 3}
		out.IOPriority = classes[io.Class]<<13 | uint32(io.Priority) // linux/ioprio.h
	}
	switch {
	case p.ApparmorProfile != "":
		return field("process.apparmorProfile", "the guest's kernel has no AppArmor")
	case p.SelinuxLabel != "":
		return field("process.selinuxLabel", "the guest's kernel has no SELinux")
	}
	return nil
}

// affinity is the mask of process.execCPUAffinity, for exec only. The process starts
// in the container's cgroup, so that only the final one can be seen.
func affinity(a *specs.CPUAffinity) []byte {
	if a == nil {
		return nil
	}
	list := a.Final
	if list == "" {
		list = a.Initial
	}
	if list == "" {
		return nil
	}
	mask := make([]byte, (1<<16)/8)
	most := 0
	for item := range strings.SplitSeq(list, ",") { // package oci has checked it
		first, last, isRange := strings.Cut(item, "-")
		a, _ := strconv.ParseUint(first, 10, 16)
		b := a
		if isRange {
			b, _ = strconv.ParseUint(last, 10, 16)
		}
		for cpu := a; cpu <= b; cpu++ {
			mask[cpu/8] |= 1 << (cpu % 8)
		}
		most = max(most, int(b))
	}
	return mask[:(most/64+1)*8] // whole words, as the kernel wants it
}
