package qemu

import (
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"kata/check"
	"kata/vm"
)

// target is what a machine of one architecture is made with.
type target struct {
	arch string // in Go's names
	// name is QEMU's for the machine type, and device what ends its virtio devices' names.
	name, device string
	// program is QEMU's, and pkg what Debian has it in; suffix names its modules.
	program, pkg, suffix string
	// firmware is what QEMU loads to start a kernel: its first instructions, and what
	// finds the kernel's entry. Without any, QEMU itself does that.
	firmware []string
	// kernel is the name of the guest's, and checkKernel says why a file is none.
	kernel      string
	checkKernel func(path string) error
	// properties are those of the machine type; emulated is the processor.
	properties, emulated string
	// line is the part of the kernel's command line that belongs to the machine.
	line []string
	// noROM keeps the firmware of network devices, which boots from them, out.
	noROM string
	// hot says that the machine can get more memory and processors while it runs.
	hot bool
	// late is how the device for shares comes while the machine runs; nil where none can.
	late *latePort
	// first puts a virtio device where the kernel finds it before all others: the
	// channel's name has its number.
	first string
	// told says that the kernel must be told how fast an emulated processor's clock is.
	told bool
}

// latePort is where a device can come.
type latePort struct {
	device string // the port itself, whose name is latePortName
	// properties are those that the machine type has on top, with PCI Express, and without
	// tells the kernel of a machine that has none.
	properties, without string
	// rescan is the guest's file that has its kernel look whether the device is there, ""
	// if it finds out by itself.
	rescan string
}

// latePortName is the port's name for QEMU.
const latePortName = "late"

// targets are all of them; the first of an architecture is the usual one.
var targets = []*target{microvm, q35, virt}

var microvm = &target{
	arch: "amd64", name: "microvm", device: "-device",
	program: "qemu-system-x86_64", pkg: "qemu-system-x86", suffix: "x86_64",
	firmware: []string{"qboot.rom", "pvh.bin"},
	kernel:   "linux-x86_64", checkKernel: checkELF,
	// ACPI lets the guest switch itself off; PIT and PIC are its clock before it
	// knows a better one.
	properties: ",acpi=on,pit=on,pic=on,rtc=on,isa-serial=on", emulated: "max",
	line: []string{"console=ttyS0"}, told: true,
	// The port has no switch: what is there can be used at once. The kernel, which asks the
	// firmware's tables whether it may watch ports, and may not, looks when it is told to.
	late: &latePort{device: "pcie-root-port,id=" + latePortName + ",bus=pcie.0,addr=1.0,chassis=1,power_controller_present=off",
		properties: ",pcie=on", without: "pci=off", rescan: "/sys/bus/pci/devices/0000:00:01.0/pci_bus/0000:01/rescan"},
}

var virt = &target{
	arch: "arm64", name: "virt", device: "-device",
	program: "qemu-system-aarch64", pkg: "qemu-system-arm", suffix: "aarch64",
	kernel: "linux-arm64", checkKernel: checkImage,
	// Pointer authentication by the book costs more than all else that is emulated.
	properties: ",gic-version=3,acpi=off", emulated: "max,pauth-impdef=on",
	line: []string{"console=ttyAMA0"}, first: ",bus=virtio-mmio-bus.0",
}

// targetOf returns the target of an architecture, "" being the host's, with the machine
// type that the settings ask for; an architecture with only one has that, whatever they
// say. Error: vm.Unavailable.
func targetOf(arch string, options map[string]string) (*target, error) {
	arch = cmp.Or(arch, runtime.GOARCH)
	var names, known []string
	var usual *target
	for _, t := range targets {
		names = append(names, t.name)
		if !slices.Contains(known, t.arch) {
			known = append(known, t.arch)
		}
		if t.arch == arch && (usual == nil || t.name == options["machine"]) {
			usual = t
		}
	}
	want := options["machine"]
	switch {
	case want != "" && !slices.Contains(names, want):
		return nil, &vm.Unavailable{Driver: Name, Kind: check.Setting, Cause: "qemu.machine = " + want,
			Remedy: "it must be one of " + strings.Join(names, ", ")}
	case usual == nil:
		return nil, &vm.Unavailable{Driver: Name, Kind: check.HostArchitecture, Cause: "no machine for " + arch,
			Remedy: "use one of " + strings.Join(known, ", ")}
	}
	return usual, nil
}

// foreign says that the host's processor cannot run the guest's code.
func (t *target) foreign() bool { return t.arch != runtime.GOARCH }

// agentFile is the agent's name: "" for the host's architecture.
func (t *target) agentFile() string {
	if t.foreign() {
		return "kata-agent-" + t.arch
	}
	return ""
}

// module is the name, without its suffix, of the file that has an accelerator where
// QEMU is built with modules.
func (t *target) module(accel accelerator) string { return "accel-" + string(accel) + "-" + t.suffix }

// cpu is the processor that a guest sees.
func (t *target) cpu(accel accelerator) string {
	if accel == kvm {
		return "host"
	}
	return t.emulated
}

// checkELF tells a file that is no kernel for amd64 from one that does not boot.
func checkELF(path string) error {
	f, err := elf.Open(path)
	if _, ok := errors.AsType[*os.PathError](err); ok {
		return fmt.Errorf("kernel: %w", err)
	} else if err != nil {
		return fmt.Errorf("kernel: %s is no whole ELF file: %w", path, err)
	}
	defer f.Close()
	if f.Machine != elf.EM_X86_64 || f.Type != elf.ET_EXEC {
		return fmt.Errorf("kernel: %s is no kernel for amd64, but %v for %v", path, f.Type, f.Machine)
	}
	return nil
}

// checkImage is checkELF for arm64, whose kernels have a header of their own (Linux,
// Documentation/arch/arm64/booting.rst): the magic number is at byte 56.
func checkImage(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	defer f.Close()
	var header [64]byte
	_, err = io.ReadFull(f, header[:])
	if err != nil || string(header[56:60]) != "ARM\x64" {
		return fmt.Errorf("kernel: %s is no kernel for arm64", path)
	}
	return nil
}
