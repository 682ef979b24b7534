package qemu

import (
	"fmt"
	"slices"
	"strings"

	"kata/vm"
)

// QEMU's descriptors: standard I/O, the channel, the monitor, the network devices, the
// disks; and last, for a machine that starts from a template, the devices' state, or for one
// with shares by virtiofs the connection to their daemon.
const (
	channelFD = 3
	monitorFD = 4
	nicFD     = 5
)

func diskFD(s vm.Spec, c carrier) int { return nicFD + len(s.NICs)*c.descriptors() }

func lastFD(s vm.Spec, c carrier) int { return diskFD(s, c) + len(s.Disks) }

// kind is what a machine has to do with a template.
type kind int

const (
	single   kind = iota // nothing
	original             // it is to be saved
	clone                // it starts from what was saved
)

// commandLine is QEMU's. khz is the frequency that an emulated processor's clock has.
func (t *target) commandLine(s vm.Spec, accel accelerator, k kind, khz int64) []string {
	args := append([]string{binaryPath, "-name", s.Name}, t.machineArgs(s, accel, k)...)
	if k == single || byVirtiofs(s.Options) {
		// What the guest frees goes back to the host. QEMU does that to the file that
		// memory is in, too, which other machines may have in common, unless a daemon has it.
		args = append(args, "-device", t.virtio("balloon", "free-page-reporting=on"))
	}
	if k != clone {
		args = append(args, "-kernel", kernelPath, "-initrd", initrdPath, "-append", t.kernelLine(s, accel, k, khz))
	}
	if k == single {
		return append(args, t.diskArgs(s, diskFD(s, t.carries(s, accel)))...)
	}
	// The original writes its memory to the file; a clone reads it there, and writes
	// to pages of its own, or has a copy that a daemon has mapped, too.
	share := "on"
	if k == clone {
		if !byVirtiofs(s.Options) {
			share = "off"
		}
		args = append(args, "-incoming", "defer")
	}
	return append(args, "-machine", "memory-backend=memory",
		"-object", fmt.Sprintf("memory-backend-file,id=memory,mem-path=%s,share=%s,size=%dM", memoryPath, share, s.MemoryMiB))
}

// virtio is a device of the kind that the machine type takes.
func (t *target) virtio(name string, properties ...string) string {
	return strings.Join(append([]string{"virtio-" + name + t.device}, properties...), ",")
}

// modern ends the names of devices that know no virtio before version 1.
func (t *target) modern() string {
	if t.device == "-device" {
		return t.device
	}
	return "-pci"
}

// machineArgs are the machine itself, the same for an original and its clones.
func (t *target) machineArgs(s vm.Spec, accel accelerator, k kind) []string {
	properties := t.properties
	if sharesLate(s, k) {
		properties += t.late.properties
	}
	args := []string{
		"-machine", t.name + properties, "-cpu", t.cpu(accel),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
		"-L", firmwarePath,
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-chardev", fmt.Sprintf("socket,id=monitor,fd=%d", monitorFD), "-mon", "chardev=monitor,mode=control",
		"-device", t.virtio("serial", "max_ports=2") + t.first,
		"-chardev", fmt.Sprintf("socket,id=channel,fd=%d", channelFD),
		"-device", "virtserialport,chardev=channel,nr=1",
		"-object", "rng-builtin,id=random", "-device", t.virtio("rng", "rng=random"),
	}
	c := t.carries(s, accel)
	args = append(args, t.shareArgs(s, c, k)...)
	args = append(args, t.memoryArgs(s)...)
	args = append(args, t.cpuArgs(s)...)
	if accel == kvm {
		args = append(args, "-accel", "kvm")
	} else {
		args = append(args, "-accel", fmt.Sprintf("tcg,tb-size=%d", translationMiB))
	}
	if len(t.firmware) > 0 {
		args = append(args, "-bios", t.firmware[0])
	}
	args = append(args, t.hotArgs()...)
	return append(args, t.netArgs(s, c)...)
}

// kernelLine is the kernel's command line. Under emulation some kernels would wait
// for ever for a clock to measure the processor's with, or measure it wrongly: they are
// told the frequency, and that of the timer in QEMU's local APIC, which is 1 GHz.
func (t *target) kernelLine(s vm.Spec, accel accelerator, k kind, khz int64) string {
	line := append(slices.Clone(t.line), "panic=-1", "random.trust_cpu=on", "cgroup_no_v1=all",
		// Sized for a container, as for UML.
		"dhash_entries=8192", "ihash_entries=4096", "thash_entries=1024", "uhash_entries=256",
		"kata.channel=/dev/vport0p1")
	if late := t.late; late != nil && late.without != "" && !sharesLate(s, k) {
		line = append(line, late.without)
	} else if late != nil && late.rescan != "" && sharesLate(s, k) {
		line = append(line, "kata.rescan="+late.rescan)
	}
	if k == original {
		line = append(line, "kata.template=1")
	}
	if accel == tcg {
		// What the guest does against speculation is translated like all else, and the
		// host's processor speculates about the translation. The agent's threads seem to
		// run for long, and Go would interrupt each by a signal, and look after it every 20 µs.
		line = append(line, "mitigations=off", "GODEBUG=asyncpreemptoff=1", "kata.timerslack=10000000")
	}
	if accel == tcg && t.told {
		line = append(line, fmt.Sprintf("tsc_early_khz=%d", khz), "tsc=reliable", "lpj=10000000", "lapic_khz=1000000")
	}
	if !s.Verbose {
		line = append(line, "quiet")
	}
	return strings.Join(line, " ")
}
