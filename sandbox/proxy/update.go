package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/agent/api"
	"kata/jail"
	"kata/oci"
	"kata/sandbox"
	"kata/sandbox/compile"
)

// update changes the limits that change names; the others stay.
func (o *owner) update(ctx context.Context, change *specs.LinuxResources) error {
	if change == nil {
		return &api.Error{Code: api.CodeInvalid, Message: "update: no resources"}
	}
	o.resourceMu.Lock()
	defer o.resourceMu.Unlock()
	if st := o.state(); st == specs.StateStopped {
		return notIn(st)
	}
	before, err := compile.CompileResources(o.resources, o.disks)
	if err != nil {
		return err
	}
	merged := merge(o.resources, change)
	if err := oci.ValidateResources(merged); err != nil {
		return err
	}
	after, err := compile.CompileResources(merged, o.disks)
	if err != nil {
		return err
	}
	moved := !slices.Equal(before.HostCPUs, after.HostCPUs)
	if moved && !o.first {
		return refuse("cpu.cpus", "the sandbox's machine runs where its first container may")
	}
	req := &api.UpdateRequest{ID: o.id, Cgroup: after.Files,
		CheckMemory: merged.Memory != nil && merged.Memory.CheckBeforeUpdate != nil && *merged.Memory.CheckBeforeUpdate}
	if change.Devices != nil {
		req.DeviceFilter = after.DeviceFilter
	}
	if err := o.resize(ctx, before, after, func() error { return o.sb.Update(ctx, req) }); err != nil {
		return err
	}
	if moved {
		if err := o.sb.Place(place(o.sb.VCPUs(), o.sb.Capabilities, after.HostCPUs)); err != nil {
			return err
		}
	}
	o.resources = merged
	return nil
}

// demand is what a container asks of its machine.
func demand(memoryMiB int, host jail.Limits) *sandbox.Demand {
	return &sandbox.Demand{MemoryMiB: memoryMiB, Host: host}
}

// tooLarge names the limit for which the machine could not be made large enough.
func tooLarge(err error) error {
	if e, ok := errors.AsType[*sandbox.SizeError](err); ok && e.Processors {
		return refuse("cpu.quota", "%v", err)
	}
	return refuse("memory.limit", "%v", err)
}

// resize has the machine be large enough before a container's limits change, and no
// larger than it must afterwards.
func (o *owner) resize(ctx context.Context, before, after *compile.Resources, change func() error) error {
	if err := o.sb.Fit(ctx, o.id, demand(max(before.MemoryMiB, after.MemoryMiB), after.Limits)); err != nil {
		return tooLarge(err)
	}
	err := o.fits(after)
	if err == nil {
		err = change()
	}
	if err != nil {
		after = before
	}
	memory := after.MemoryMiB
	if memory == 0 { // no limit is no reason for a smaller machine
		memory = before.MemoryMiB
	}
	_ = o.sb.Fit(ctx, o.id, demand(memory, after.Limits)) // what it does not give back, it keeps
	return err
}

// fits refuses a limit that the machine cannot keep.
func (o *owner) fits(r *compile.Resources) error {
	machine, changes := o.sb.MemoryKiB()
	if uint64(r.MemoryMiB)<<10 <= machine {
		return nil
	}
	why := ""
	if !changes {
		why = ", and its size cannot be changed while it runs"
	}
	return refuse("memory.limit", "%d MiB are more than the machine has, %d MiB%s", r.MemoryMiB, machine>>10, why)
}

func refuse(name, format string, args ...any) error {
	return &oci.ConfigError{Field: "linux.resources." + name, Reason: fmt.Sprintf(format, args...)}
}

// merge lays what change has over what was.
func merge(was, change *specs.LinuxResources) *specs.LinuxResources {
	out := specs.LinuxResources{}
	if was != nil {
		out = *was
	}
	if change.Memory != nil {
		m := deref(out.Memory)
		m.Limit = over(m.Limit, change.Memory.Limit)
		m.Reservation = over(m.Reservation, change.Memory.Reservation)
		m.Swap = over(m.Swap, change.Memory.Swap)
		m.Swappiness = over(m.Swappiness, change.Memory.Swappiness)
		m.DisableOOMKiller = over(m.DisableOOMKiller, change.Memory.DisableOOMKiller)
		m.CheckBeforeUpdate = change.Memory.CheckBeforeUpdate
		// What was swap for another limit says nothing about the new one.
		if change.Memory.Limit != nil && change.Memory.Swap == nil {
			m.Swap = nil
		}
		out.Memory = &m
	}
	if change.Devices != nil {
		out.Devices = change.Devices
	}
	if change.CPU != nil {
		c, n := deref(out.CPU), change.CPU
		c.Shares, c.Quota, c.Period = over(c.Shares, n.Shares), over(c.Quota, n.Quota), over(c.Period, n.Period)
		if n.Burst != nil { // here zero is a value
			c.Burst = n.Burst
		}
		if n.Idle != nil {
			c.Idle = n.Idle
		}
		c.RealtimeRuntime, c.RealtimePeriod = n.RealtimeRuntime, n.RealtimePeriod
		if n.Cpus != "" {
			c.Cpus = n.Cpus
		}
		if n.Mems != "" {
			c.Mems = n.Mems
		}
		out.CPU = &c
	}
	if change.Pids != nil && change.Pids.Limit != nil {
		out.Pids = change.Pids
	}
	if change.BlockIO != nil {
		out.BlockIO = change.BlockIO
	}
	out.Network, out.Rdma, out.HugepageLimits = change.Network, change.Rdma, change.HugepageLimits
	if len(change.Unified) > 0 {
		all := map[string]string{}
		for _, from := range []map[string]string{out.Unified, change.Unified} {
			for k, v := range from {
				all[k] = v
			}
		}
		out.Unified = all
	}
	return &out
}

// over is the new value if there is one; zero says nothing.
func over[T comparable](was, change *T) *T {
	var zero T
	if change == nil || (*change == zero && was != nil) {
		return was
	}
	return change
}

func deref[T any](p *T) T {
	var v T
	if p != nil {
		v = *p
	}
	return v
}
