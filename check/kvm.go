package check

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Requests and version of include/uapi/linux/kvm.h.
const (
	kvmGetAPIVersion = 0xAE00
	kvmCreateVM      = 0xAE01
	kvmAPIVersion    = 12
)

// host is what KVM looks at; tests put other files in its place.
type host struct {
	device  string        // the KVM device node
	cpuinfo string        // read for CPU flags where arch has them
	pvm     string        // exists where KVM is the paravirtual kind
	arch    string        // as runtime.GOARCH
	limit   time.Duration // longest wait for the kernel
	ioctl   func(fd int, request uint) (int, error)
}

// KVM returns nil when an ordinary guest can run in hardware virtualization, and
// otherwise the first reason why not. It opens the device, asks for the API
// version and creates (and drops) an empty machine; on amd64 the CPU must also
// list VMX or SVM, because a node that does all this is no proof. It takes a few
// milliseconds and at most one second.
//
// The result is a *Reason, not an error: compare it with nil before assigning it
// to an error.
func KVM() *Reason {
	h := host{
		device:  "/dev/kvm",
		cpuinfo: "/proc/cpuinfo",
		pvm:     "/sys/module/kvm_pvm",
		arch:    runtime.GOARCH,
		limit:   time.Second,
		ioctl:   unix.IoctlRetInt,
	}
	return h.kvm()
}

// kvm runs the probe under the time limit. A probe that is stuck in the kernel
// cannot be interrupted; its thread is left behind.
func (h host) kvm() *Reason {
	done := make(chan *Reason, 1)
	go func() { done <- h.probe() }()
	timer := time.NewTimer(h.limit)
	defer timer.Stop()
	select {
	case r := <-done:
		return r
	case <-timer.C:
		return &Reason{Kind: KVMTimeout,
			Cause:  fmt.Sprintf("%s did not answer within %v", h.device, h.limit),
			Remedy: "look for KVM errors in the kernel log; the host may be overloaded or its KVM stuck",
			Err:    os.ErrDeadlineExceeded}
	}
}

// probe asks the questions in the order from cheap to dear.
func (h host) probe() *Reason {
	// O_NONBLOCK: a FIFO or a foreign device in this place must not block.
	fd, err := unix.Open(h.device, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return h.openReason(err)
	}
	defer unix.Close(fd)
	version, err := h.ioctl(fd, kvmGetAPIVersion)
	if err != nil {
		return &Reason{Kind: KVMBroken, Err: err,
			Cause:  fmt.Sprintf("%s opens, but does not answer as KVM does: %v", h.device, err),
			Remedy: "recreate the node: mknod " + h.device + " c 10 232"}
	}
	if version != kvmAPIVersion {
		return &Reason{Kind: KVMOldAPI,
			Cause:  fmt.Sprintf("%s speaks API version %d, not %d", h.device, version, kvmAPIVersion),
			Remedy: "use Linux 2.6.22 or newer with its own KVM modules"}
	}
	// Before KVM_CREATE_VM: the answer costs less and says more.
	if r := h.extension(); r != nil {
		return r
	}
	vm, err := h.ioctl(fd, kvmCreateVM)
	if err != nil {
		return &Reason{Kind: KVMNoVM, Err: err,
			Cause:  fmt.Sprintf("%s opens, but the kernel creates no virtual machine: %v", h.device, err),
			Remedy: "another hypervisor may hold the CPU's extension, or memory is exhausted: see the kernel log"}
	}
	unix.Close(vm)
	return nil
}

// openReason explains why the device could not be opened.
func (h host) openReason(err error) *Reason {
	r := &Reason{Kind: KVMBroken, Err: err,
		Cause:  fmt.Sprintf("%s cannot be opened: %v", h.device, err),
		Remedy: "load the module kvm_intel or kvm_amd and look at the kernel log"}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.Kind, r.Cause = KVMAbsent, h.device+" does not exist"
		r.Remedy = "switch virtualization on in the firmware (or nested virtualization in the hypervisor) and load kvm_intel or kvm_amd; in a container, pass the device in"
	case errors.Is(err, fs.ErrPermission):
		r.Kind = KVMPermission
		r.Cause = fmt.Sprintf("%s may not be opened by user %d: %v", h.device, os.Geteuid(), err)
		r.Remedy = "run as root or as a member of the device's group (usually kvm); in a container, allow device 10:232"
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		r.Kind, r.Cause = KVMAbsent, fmt.Sprintf("%s is a node without a driver: %v", h.device, err)
	}
	return r
}

// extension returns a reason if an amd64 CPU lists neither VMX nor SVM. Other
// architectures have no such flag; there KVM_CREATE_VM has to do.
func (h host) extension() *Reason {
	if h.arch != "amd64" {
		return nil
	}
	r := &Reason{Kind: KVMNoExtension,
		Remedy: "switch virtualization on in the firmware, or nested virtualization in the hypervisor below; or allow software isolation"}
	has, err := hasExtension(h.cpuinfo)
	if err != nil {
		r.Err = err
		r.Cause = fmt.Sprintf("%s opens, but whether the CPU offers VMX or SVM cannot be seen: %v", h.device, err)
		return r
	}
	if has {
		return nil
	}
	r.Cause = h.device + " opens, but the CPU offers neither VMX nor SVM: an ordinary guest cannot run (nested virtualization is off or this is a paravirtual KVM)"
	if _, err := os.Stat(h.pvm); err == nil {
		r.Cause = h.device + " opens, but the CPU offers neither VMX nor SVM: an ordinary guest cannot run (this is a paravirtual KVM: module kvm_pvm)"
	}
	return r
}

// hasExtension reads the first "flags" line of a cpuinfo file. It reads no
// further than the first processors: on a machine with hundreds of them the whole
// file takes tens of milliseconds.
func hasExtension(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	// A processor's entry has about 2 KiB; its flags line about 1.5.
	head, err := io.ReadAll(io.LimitReader(f, 16<<10))
	if err != nil {
		return false, err
	}
	for line := range bytes.Lines(head) {
		name, flags, ok := bytes.Cut(line, []byte(":"))
		if !ok || string(bytes.TrimSpace(name)) != "flags" {
			continue
		}
		for _, flag := range bytes.Fields(flags) {
			if s := string(flag); s == "vmx" || s == "svm" {
				return true, nil
			}
		}
		return false, nil
	}
	return false, fmt.Errorf("no flags in %s", path)
}
