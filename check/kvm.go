package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Requests and version of include/uapi/linux/kvm.h.
const (
	kvmGetAPIVersion = 0xAE00
	kvmCreateVM      = 0xAE01
	kvmAPIVersion    = 12
)

const (
	kvmDevice = "/dev/kvm"
	pvmModule = "/sys/module/kvm_pvm" // there where KVM is the paravirtual kind
)

var kvmHere = sync.OnceValue(func() *Reason { return This().KVM() })

// KVM is This().KVM(), asked once in the life of a program.
//
// The result is a *Reason, not an error: compare it with nil before assigning it
// to an error.
func KVM() *Reason { return kvmHere() }

// KVM returns nil when an ordinary guest can run in hardware virtualization, and
// otherwise the first reason why not. It opens the device, asks for the API
// version and creates (and drops) an empty machine; on amd64 the CPU must also
// list VMX or SVM, because a node that does all this is no proof: a guest would
// hang. It takes a few milliseconds and less than a second.
func (h Host) KVM() *Reason { return h.bounded(kvmDevice, KVMTimeout, h.probeKVM) }

// probeKVM asks the questions in the order from cheap to dear.
func (h Host) probeKVM() *Reason {
	// O_NONBLOCK: a FIFO or a foreign device in this place must not block.
	fd, err := unix.Open(h.path(kvmDevice), unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return h.openReason(err)
	}
	defer unix.Close(fd)
	version, err := h.ioctl(fd, kvmGetAPIVersion)
	if err != nil {
		return &Reason{Kind: KVMBroken, Err: err,
			Cause:  fmt.Sprintf("%s opens, but does not answer as KVM does: %v", kvmDevice, err),
			Remedy: "recreate the node: mknod " + kvmDevice + " c 10 232"}
	}
	if version != kvmAPIVersion {
		return &Reason{Kind: KVMOldAPI,
			Cause:  fmt.Sprintf("%s speaks API version %d, not %d", kvmDevice, version, kvmAPIVersion),
			Remedy: "use Linux 2.6.22 or newer with its own KVM modules"}
	}
	// Before KVM_CREATE_VM: the answer costs less and says more.
	if r := h.extension(); r != nil {
		return r
	}
	vm, err := h.ioctl(fd, kvmCreateVM)
	if err != nil {
		return &Reason{Kind: KVMNoVM, Err: err,
			Cause:  fmt.Sprintf("%s opens, but the kernel creates no virtual machine: %v", kvmDevice, err),
			Remedy: "another hypervisor may hold the CPU's extension, or memory is exhausted: see the kernel log"}
	}
	unix.Close(vm)
	return nil
}

// openReason explains why the device could not be opened.
func (h Host) openReason(err error) *Reason {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return h.absent(err)
	case errors.Is(err, fs.ErrPermission):
		return &Reason{Kind: KVMPermission, Err: err,
			Cause:  fmt.Sprintf("%s may not be opened by user %d: %v", kvmDevice, os.Geteuid(), err),
			Remedy: "run as root or as a member of the device's group (usually kvm); in a container, allow device 10:232"}
	}
	r := &Reason{Kind: KVMBroken, Err: err,
		Cause:  fmt.Sprintf("%s cannot be opened: %v", kvmDevice, err),
		Remedy: "load the module kvm_intel or kvm_amd and look at the kernel log"}
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		r.Kind, r.Cause = KVMAbsent, fmt.Sprintf("%s is a node without a driver: %v", kvmDevice, err)
	}
	return r
}

// absent finds the remedy for a missing node: what the CPU lists tells a module that
// is not loaded from a firmware's setting and from a hypervisor's.
func (h Host) absent(err error) *Reason {
	r := &Reason{Kind: KVMAbsent, Err: err, Cause: kvmDevice + " does not exist",
		Remedy: "load kvm_intel or kvm_amd, and look at the kernel log; in a container, pass the device in"}
	if h.Arch != "amd64" {
		return r
	}
	switch cpu, cerr := h.processor(); {
	case cerr != nil || cpu.extension: // the module is all that is known to be missing
	case cpu.virtual:
		r.Kind = KVMNestedOff
		r.Cause += ", and the CPU of this virtual machine offers neither VMX nor SVM: nested virtualization is off"
		r.Remedy = "switch nested virtualization on in the hypervisor that runs this host, or use a host with hardware of its own; or allow software isolation"
	default:
		r.Cause += ", and the CPU offers neither VMX nor SVM"
		r.Remedy = "switch virtualization on in the firmware, and load kvm_intel or kvm_amd; or allow software isolation"
	}
	return r
}

// extension returns a reason if an amd64 CPU lists neither VMX nor SVM. Other
// architectures have no such flag; there KVM_CREATE_VM has to do.
func (h Host) extension() *Reason {
	if h.Arch != "amd64" {
		return nil
	}
	r := &Reason{Kind: KVMNoExtension,
		Remedy: "switch virtualization on in the firmware, or nested virtualization in the hypervisor below; or allow software isolation"}
	cpu, err := h.processor()
	switch {
	case err != nil:
		r.Err = err
		r.Cause = fmt.Sprintf("%s opens, but whether the CPU offers VMX or SVM cannot be seen: %v", kvmDevice, err)
		return r
	case cpu.extension:
		return nil
	}
	why := "nested virtualization is off or this is a paravirtual KVM"
	if h.exists(pvmModule) {
		why = "this is a paravirtual KVM: module kvm_pvm"
	}
	r.Cause = fmt.Sprintf("%s opens, but the CPU offers neither VMX nor SVM: an ordinary guest cannot run (%s)", kvmDevice, why)
	return r
}
