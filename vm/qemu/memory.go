package qemu

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"kata/vm"
)

// A machine of type q35 has a second memory, a virtio-mem device, of which the guest
// uses as much as it is told to: none at first. It is a file without a name, of which
// the host counts what was touched, even where it promises no more memory than it has.
const (
	// memoryPart is what comes and goes at once, in MiB: the device's block, which is a
	// huge page.
	memoryPart = 2
	// maxHotMiB bounds what can be added: QEMU has bookkeeping for all of it, 24 bytes
	// for each MiB and some more for each that is used.
	maxHotMiB = 64 << 10
	// memorySection is how much memory the guest's kernel knows as one thing; the device
	// ends where one does.
	memorySection = 128
)

// hotMiB is how much memory can be added to a machine: as much as the host has.
func hotMiB() int {
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil {
		return 0 // it cannot fail
	}
	return min(int(si.Totalram*uint64(si.Unit)>>20), maxHotMiB) / memorySection * memorySection
}

// memoryDevice is the second memory's name.
const memoryDevice = "more"

// memoryArgs are the sizes of a machine's memories.
func (t *target) memoryArgs(s vm.Spec) []string {
	if !t.hot {
		return []string{"-m", fmt.Sprint(s.MemoryMiB)}
	}
	more := hotMiB()
	return []string{
		"-m", fmt.Sprintf("%d,slots=1,maxmem=%dM", s.MemoryMiB, s.MemoryMiB+more),
		"-object", fmt.Sprintf("memory-backend-memfd,id=pages,size=%dM", more), // shared, as all of them
		"-device", fmt.Sprintf("virtio-mem-pci,id=%s,memdev=pages,block-size=%dM,requested-size=0", memoryDevice, memoryPart),
	}
}

// How a guest is waited for. Memory that it cannot give at once it tries to give again
// after most of a minute, or when it is asked anew; after a while it has given up.
const (
	memoryPoll  = 5 * time.Millisecond
	memoryAgain = 300 * time.Millisecond
	memoryStall = 2 * time.Second
)

// SetMemory implements vm.Machine.
func (m *machine) SetMemory(ctx context.Context, mib int) (int, error) {
	if !m.target.hot {
		return m.spec.MemoryMiB, vm.ErrNoHotMemory
	}
	m.sizeMu.Lock()
	defer m.sizeMu.Unlock()
	first, more := m.spec.MemoryMiB, hotMiB()
	if mib > first+more {
		return 0, fmt.Errorf("%d MiB of memory: this machine can have at most %d", mib, first+more)
	}
	want := (max(mib-first, 0) + memoryPart - 1) / memoryPart * memoryPart
	before, err := m.hotMemory()
	if err != nil {
		return 0, err
	}
	if err := m.askMemory(want); err != nil {
		return 0, err
	}
	got, err := m.awaitMemory(ctx, before, want)
	if err != nil {
		return 0, err
	}
	if got == want {
		return first + got, nil
	}
	// What is not asked for any more does not come later, unexpected.
	if err := m.askMemory(got); err != nil {
		return 0, err
	}
	if got < want {
		return first + got, fmt.Errorf("the guest has taken %d of %d MiB of memory that it was given", got, want)
	}
	return first + got, nil // it uses what it keeps
}

// awaitMemory waits until the guest has made its second memory as large as it is asked
// to, or has given up; it returns how large that is, in MiB.
func (m *machine) awaitMemory(ctx context.Context, size, want int) (int, error) {
	changed := time.Now()
	for asked := changed; size != want && time.Since(changed) < memoryStall; {
		select {
		case <-ctx.Done():
			return size, nil
		case <-m.Done():
			return 0, fmt.Errorf("memory: %w", errEnded)
		case <-time.After(memoryPoll):
		}
		now, err := m.hotMemory()
		if err != nil {
			return 0, err
		}
		if now != size {
			size, changed, asked = now, time.Now(), time.Now()
		}
		if time.Since(asked) > memoryAgain {
			asked = time.Now()
			if err := errors.Join(m.askMemory(size), m.askMemory(want)); err != nil {
				return size, err
			}
		}
	}
	return size, nil
}

// hotMemory is how much of the second memory the guest uses, in MiB.
func (m *machine) hotMemory() (int, error) {
	var bytes int64
	err := m.monitor.run("qom-get", map[string]any{"path": "/machine/peripheral/" + memoryDevice, "property": "size"}, &bytes)
	return int(bytes >> 20), err
}

func (m *machine) askMemory(mib int) error {
	return m.monitor.run("qom-set", map[string]any{"path": "/machine/peripheral/" + memoryDevice, "property": "requested-size", "value": int64(mib) << 20}, nil)
}
