// Package qemu is the driver for QEMU: a whole machine with a kernel of its own,
// separated by the CPU's virtualization extensions where the host's KVM can run
// guests, and emulated (TCG) where it cannot, also for other architectures than the
// host's. The machine type is microvm, with only what a container needs, or q35, to
// which can be added while it runs; virt on arm64.
//
// QEMU runs in a jail with its own files and the shares, and holds no capability
// outside. Machines can start from a saved one (package template). The package does
// not build QEMU.
package qemu

import (
	"context"
	"runtime"

	"kata/check"
	"kata/network"
	"kata/vm"
)

// Name of the driver in the configuration.
const Name = "qemu"

// Driver implements vm.Driver.
type Driver struct{}

// Name implements vm.Driver.
func (Driver) Name() string { return Name }

// accelerator is what runs the guest's code.
type accelerator string

const (
	kvm accelerator = "kvm" // the CPU, under the host's KVM
	tcg accelerator = "tcg" // QEMU, by translating it
)

// choose decides between them. A node /dev/kvm is no proof: check.KVM looks closer.
func choose(t *target, options map[string]string) (accelerator, error) {
	want := options["accelerator"]
	if t.foreign() {
		switch want {
		case "", "auto":
			return tcg, nil
		case string(kvm):
			return "", &vm.Unavailable{Driver: Name, Kind: check.Setting, Cause: "qemu.accelerator = " + want + ": KVM runs no guests of " + t.arch + " here",
				Remedy: "let it emulate: \"auto\" or \"tcg\""}
		}
	}
	switch want {
	case "", "auto":
		if check.KVM() == nil {
			return kvm, nil
		}
		return tcg, nil
	case string(tcg):
		return tcg, nil
	case string(kvm):
		if r := check.KVM(); r != nil {
			u := vm.NotAvailable(Name, r)
			u.Remedy += "; or let it emulate, with software isolation: accelerator = \"tcg\" in [qemu]"
			return "", u
		}
		return kvm, nil
	default:
		return "", &vm.Unavailable{Driver: Name, Kind: check.Setting, Cause: "qemu.accelerator = " + want, Remedy: "it must be \"auto\", \"kvm\" or \"tcg\""}
	}
}

const (
	// overheadMiB is what QEMU may use beyond the guest's memory: itself, its
	// threads' stacks, and translated code (translationMiB).
	overheadMiB    = 192
	translationMiB = 64
	// maxNICs: microvm has 24 virtio devices, among them channel, share, random
	// numbers, balloon and disks.
	maxNICs  = 14
	maxDisks = 6
	// emulatedBoot is how much longer a boot may take when all of it is translated.
	emulatedBoot = 6
)

// Probe implements vm.Driver.
func (d Driver) Probe(options map[string]string) (vm.Capabilities, error) {
	return d.ProbeArch(runtime.GOARCH, options)
}

// ProbeArch implements vm.Emulator.
func (Driver) ProbeArch(arch string, options map[string]string) (vm.Capabilities, error) {
	caps := vm.Capabilities{MaxVCPUs: runtime.NumCPU(), OverheadMiB: overheadMiB, MaxNICs: maxNICs, MaxDisks: maxDisks, HotShares: true, Adopts: true}
	t, err := targetOf(arch, options)
	if err != nil {
		return caps, err
	}
	caps.HotMemory, caps.HotCPUs, caps.HotDisks, caps.HotNICs = t.hot, t.hot, t.hot, t.hot
	if !relayed(options) {
		caps.Carrier = network.Taps
	}
	caps.KernelFile, caps.AgentFile = t.kernel, t.agentFile()
	binary, err := t.findBinary()
	if err != nil {
		return caps, err
	}
	if _, err := daemon(options); err != nil {
		return caps, err
	}
	accel, err := choose(t, options)
	switch {
	case err != nil:
		return caps, err
	case accel == kvm:
		// Another driver may be better than one that cannot start. Emulation is the
		// last resort, and not worth the time before it is chosen: Start looks.
		if err := t.examine(binary, accel, options); err != nil {
			return caps, err
		}
		caps.Isolation = vm.Hardware
	default:
		caps.Isolation, caps.BootFactor = vm.Software, emulatedBoot
	}
	return caps, nil
}

// Variants implements vm.Varied, the best one first.
func (Driver) Variants() []vm.Variant {
	return []vm.Variant{{Name: string(kvm), Options: map[string]string{"accelerator": string(kvm)}},
		{Name: string(tcg), Options: map[string]string{"accelerator": string(tcg)}}}
}

// Inspect implements vm.Inspector.
func (Driver) Inspect(options map[string]string) error {
	t, err := targetOf("", options)
	if err != nil {
		return err
	}
	accel, err := choose(t, options)
	if err == nil {
		_, err = t.installation(accel, options)
	}
	return err
}

// Start implements vm.Driver.
func (Driver) Start(ctx context.Context, s vm.Spec) (vm.Machine, error) {
	var m *machine
	var err error
	if from := store(s.Options); from != nil && saves(s) == nil {
		m, err = startSaved(ctx, s, from)
	} else {
		m, err = start(s)
	}
	if err != nil {
		return nil, err
	}
	go func() {
		select {
		case <-ctx.Done():
			m.Kill()
		case <-m.Done():
		}
		<-m.Done()
		m.disconnect()
	}()
	return m, nil
}
