package vm

import (
	"errors"
	"fmt"
	"runtime"

	"kata/check"
)

// Emulator is a driver that can make machines of other architectures than the host's.
type Emulator interface {
	Driver
	// ProbeArch is Probe for machines of one architecture, in Go's names.
	ProbeArch(arch string, options map[string]string) (Capabilities, error)
}

// probe asks a driver for machines of an architecture; "" is the host's.
func probe(d Driver, arch string, options map[string]string) (Capabilities, error) {
	if isHost(arch) {
		return d.Probe(options)
	}
	if e, ok := d.(Emulator); ok {
		return e.ProbeArch(arch, options)
	}
	return Capabilities{}, &Unavailable{Driver: d.Name(), Kind: check.HostArchitecture,
		Cause:  fmt.Sprintf("its machines have the host's architecture, %s, not %s", runtime.GOARCH, arch),
		Remedy: "let another hypervisor emulate: hypervisor \"" + Auto + "\""}
}

func isHost(arch string) bool { return arch == "" || arch == runtime.GOARCH }

// whyNoHardware is what the host itself lacks, whatever the drivers say.
func whyNoHardware(arch string) error {
	if !isHost(arch) {
		return fmt.Errorf("the processor's virtualization runs guests of %s, not of %s", runtime.GOARCH, arch)
	}
	if r := check.KVM(); r != nil {
		return r
	}
	return errors.New("KVM could, but no hypervisor that uses it works here")
}
