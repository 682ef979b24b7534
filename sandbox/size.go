package sandbox

import (
	"cmp"
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"kata/agent/api"
	"kata/jail"
	"kata/vm"
)

// GuestMiB is what the guest's kernel and agent need beyond what containers may use.
const GuestMiB = 64

// Demand is what a container may use of its machine; 0 is no limit.
type Demand struct {
	MemoryMiB int
	// Host is what the host's cgroup lets a machine with only this container have of its CPUs.
	Host jail.Limits
}

// cpus is how many processors the limit on CPU time comes to, 0 without one.
func (d *Demand) cpus() float64 {
	if d.Host.CPUQuota <= 0 {
		return 0
	}
	return float64(d.Host.CPUQuota) / float64(d.Host.CPUPeriod)
}

// size is how large the machine is, and what decides that.
type size struct {
	caps      vm.Capabilities
	memoryKiB atomic.Uint64 // what containers and agent can use, says the guest

	mu      sync.Mutex // while it changes, which may take long
	first   int        // MiB of memory when it was made: it is not made smaller than that
	memory  int
	vcpus   int // none is taken away: one that is idle costs nothing
	demands map[string]Demand
	host    jail.Limits // CPU limits of the cgroup
	again   *time.Timer // when the guest is asked for memory that it keeps
}

func (z *size) begin(caps vm.Capabilities, s vm.Spec, host jail.Limits) {
	z.caps, z.demands, z.host = caps, map[string]Demand{}, cpuLimits(host)
	z.first, z.memory, z.vcpus = s.MemoryMiB, s.MemoryMiB, s.VCPUs
}

// wanted is how much memory the demands together need. A container without a limit
// lives on what is there.
func (z *size) wanted() int {
	sum := GuestMiB
	for _, d := range z.demands {
		sum += d.MemoryMiB
	}
	if sum <= z.first {
		return z.first
	}
	return sum + (sum-z.first)/pageCost + 1
}

// wantedVCPUs is how many processors the demands together can keep busy.
func (z *size) wantedVCPUs() int {
	sum := 0.0
	for _, d := range z.demands {
		sum += d.cpus()
	}
	return min(max(z.vcpus, int(math.Ceil(sum))), z.caps.MaxVCPUs)
}

// cpuLimits are the limits that are about CPUs.
func cpuLimits(l jail.Limits) jail.Limits {
	return jail.Limits{CPUQuota: l.CPUQuota, CPUPeriod: l.CPUPeriod, CPUShares: l.CPUShares}
}

// usualShares are the kernel's.
const usualShares = 1024

// wantedHost is what the demands together may have of the host's CPUs: a container
// without a limit needs a machine without one.
func (z *size) wantedHost() jail.Limits {
	var all jail.Limits
	sum, limited := 0.0, true
	for _, d := range z.demands {
		if len(z.demands) == 1 {
			return cpuLimits(d.Host)
		}
		sum, limited = sum+d.cpus(), limited && d.cpus() > 0
		all.CPUShares += cmp.Or(d.Host.CPUShares, usualShares)
	}
	if limited {
		all.CPUQuota, all.CPUPeriod = int64(sum*jail.DefaultCPUPeriod), jail.DefaultCPUPeriod
	}
	return all
}

// pageCost is how much memory that is added describes itself with: 64 bytes for each
// page of 4096.
const pageCost = 64

// spareMiB is what a guest keeps for what it is about to use. One that is asked for what
// it uses kills processes to give it.
const spareMiB = 32

// sizeTime bounds the change of a machine's size: a busy guest takes its time to make
// memory free that it gives back.
const sizeTime = 20 * time.Second

// SizeError says why a machine's size could not be changed.
type SizeError struct {
	Processors bool // it is about them, not about memory
	Err        error
}

func (e *SizeError) Error() string { return "size of the machine: " + e.Err.Error() }

func (e *SizeError) Unwrap() error { return e.Err }

// Fit makes the machine as large as it must be for what its containers may use, with d
// for one of them; nil is for one that is gone. On the host its limit goes with it. It
// does nothing where a machine's size is chosen for good. Errors: SizeError.
func (s *Sandbox) Fit(ctx context.Context, id string, d *Demand) error {
	z := &s.size
	z.mu.Lock()
	defer z.mu.Unlock()
	was, had := z.demands[id]
	delete(z.demands, id)
	if d != nil {
		z.demands[id] = *d
	}
	ctx, cancel := context.WithTimeout(ctx, sizeTime)
	defer cancel()
	err := s.fitMemory(ctx)
	if err == nil {
		err = s.fitVCPUs(ctx)
	}
	if err == nil {
		err = s.fitHost()
		s.shrinkLater(shrinkPause)
	}
	if err != nil {
		delete(z.demands, id)
		if had {
			z.demands[id] = was
		}
	}
	return err
}

// What a container used is free some time after it has ended, or was told to use less.
const (
	shrinkPause = time.Second
	shrinkEnd   = time.Minute
)

// shrinkLater has a guest that keeps more than it should be asked again, less and less
// often.
func (s *Sandbox) shrinkLater(pause time.Duration) {
	z := &s.size
	if !z.caps.HotMemory || z.memory <= z.wanted() || pause > shrinkEnd {
		return
	}
	if z.again != nil {
		z.again.Stop()
	}
	z.again = time.AfterFunc(pause, func() {
		z.mu.Lock()
		defer z.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), sizeTime)
		defer cancel()
		if s.fitMemory(ctx) == nil { // a machine that has ended is not asked again
			s.shrinkLater(2 * pause)
		}
	})
}

// fitVCPUs adds processors.
func (s *Sandbox) fitVCPUs(ctx context.Context) error {
	z := &s.size
	want := z.wantedVCPUs()
	if !z.caps.HotCPUs || want == z.vcpus {
		return nil
	}
	err := s.machine.SetVCPUs(ctx, want)
	if err == nil {
		err = s.agent.Processors(ctx, &api.ProcessorsRequest{Count: uint32(want)})
	}
	if err != nil {
		return &SizeError{Processors: true, Err: err}
	}
	z.vcpus = want
	return nil
}

// fitHost lets the machine have of the host's CPUs what its containers may use.
func (s *Sandbox) fitHost() error {
	z := &s.size
	want := z.wantedHost()
	if s.cgroup == nil || len(z.demands) == 0 || want == z.host {
		return nil
	}
	if err := s.cgroup.SetCPU(want); err != nil {
		return &SizeError{Processors: true, Err: err}
	}
	z.host = want
	return nil
}

// fitMemory lets the host give what the guest is about to take, and takes back what the
// guest has given.
func (s *Sandbox) fitMemory(ctx context.Context) error {
	z := &s.size
	want := z.wanted()
	if !z.caps.HotMemory || want == z.memory {
		return nil
	}
	if want < z.memory {
		used, err := s.agent.Memory(ctx)
		if err != nil {
			return &SizeError{Err: err}
		}
		want = min(max(want, z.memory-int(used.AvailableKiB>>10)+spareMiB), z.memory)
	}
	if want > z.memory {
		if err := s.limitMemory(want); err != nil {
			return err
		}
	}
	had := z.memory
	got, err := s.machine.SetMemory(ctx, want)
	if got > 0 {
		z.memory = got
	}
	if lerr := s.limitMemory(z.memory); err == nil {
		err = lerr
	}
	if err == nil {
		err = s.awaitMemory(ctx, had)
	}
	if err != nil {
		return &SizeError{Err: err}
	}
	return nil
}

const (
	memoryTime = 2 * time.Second
	memoryPoll = 5 * time.Millisecond
)

// awaitMemory waits for the guest's kernel to use memory that it has taken, which it
// does a little later; before, there were so many MiB.
func (s *Sandbox) awaitMemory(ctx context.Context, had int) error {
	z := &s.size
	before := z.memoryKiB.Load()
	for begin := time.Now(); ; time.Sleep(memoryPoll) {
		has, err := s.agent.Memory(ctx)
		if err != nil {
			return err
		}
		z.memoryKiB.Store(has.TotalKiB)
		most := max(z.memory-had, 0) << 10 * 15 / 16
		if has.TotalKiB >= before+uint64(most) || time.Since(begin) > memoryTime || z.memory <= had {
			return nil
		}
	}
}

// limitMemory sets what the host lets the machine have.
func (s *Sandbox) limitMemory(mib int) error {
	if s.cgroup == nil {
		return nil
	}
	return s.cgroup.SetMemory(MemoryLimit(mib, s.size.caps))
}

// MemoryLimit is the limit on the host, in bytes, of a machine with so much memory.
func MemoryLimit(mib int, caps vm.Capabilities) int64 { return int64(mib+caps.OverheadMiB) << 20 }

// MemoryKiB is what the guest's kernel calls MemTotal, and whether it can change.
func (s *Sandbox) MemoryKiB() (kib uint64, changes bool) {
	return s.size.memoryKiB.Load(), s.size.caps.HotMemory
}

// Place changes the CPUs of the host that the machine stays on; none lets the host
// choose.
func (s *Sandbox) Place(cpus []int) error { return s.machine.SetCPUs(cpus) }

// VCPUs is how many processors the machine has, or may get without being asked.
func (s *Sandbox) VCPUs() int {
	s.size.mu.Lock()
	defer s.size.mu.Unlock()
	return s.size.vcpus
}
