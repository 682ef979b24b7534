// Package check finds out what this host can do for virtual machines and, where
// it cannot, says why and what would help.
//
// It states facts; it does not choose a driver (package vm does), changes nothing
// on the host, and never hangs. It does nothing at start-up.
package check

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Kind classifies what stands in the way of a machine.
type Kind string

// What KVM finds.
const (
	// KVMAbsent: there is no device node.
	KVMAbsent Kind = "kvm-absent"
	// KVMPermission: the device may not be opened by this user.
	KVMPermission Kind = "kvm-permission"
	// KVMBroken: the node opens or answers in a way that KVM does not.
	KVMBroken Kind = "kvm-broken"
	// KVMOldAPI: the API version is not 12, the only one since Linux 2.6.22.
	KVMOldAPI Kind = "kvm-api"
	// KVMNoExtension: the CPU offers neither VMX nor SVM, whatever the node says.
	KVMNoExtension Kind = "kvm-no-extension"
	// KVMNestedOff: this host is a virtual machine itself, there is no device node,
	// and its CPU offers neither VMX nor SVM.
	KVMNestedOff Kind = "kvm-nested-off"
	// KVMNoVM: the kernel refused to create a virtual machine.
	KVMNoVM Kind = "kvm-no-vm"
	// KVMTimeout: the kernel gave no answer in time.
	KVMTimeout Kind = "kvm-timeout"
)

// What Vhost finds.
const (
	VhostAbsent     Kind = "vhost-absent"
	VhostPermission Kind = "vhost-permission"
	VhostBroken     Kind = "vhost-broken"
)

// What Tun finds.
const (
	TunAbsent     Kind = "tun-absent"
	TunPermission Kind = "tun-permission"
	TunBroken     Kind = "tun-broken"
)

// What drivers find of the program that runs their machines, and of the host.
const (
	// ProgramAbsent: it, or a file that it needs, is not installed.
	ProgramAbsent Kind = "program-absent"
	// ProgramOld: its version lacks what the driver uses.
	ProgramOld Kind = "program-old"
	// ProgramAccelerator: it was built without the accelerator that is asked for.
	ProgramAccelerator Kind = "program-accelerator"
	// ProgramDevice: it was built without a device that is asked for.
	ProgramDevice Kind = "program-device"
	// ProgramBroken: the file is no such program.
	ProgramBroken Kind = "program-broken"
	// HostArchitecture: the driver is not made for this processor.
	HostArchitecture Kind = "host-architecture"
	// HostNamespaces: the host's kernel makes no namespaces for it.
	HostNamespaces Kind = "host-namespaces"
	// Setting: the configuration asks for what does not exist.
	Setting Kind = "setting"
)

// Reason is one fact that stands in the way, made for people.
type Reason struct {
	// Kind is for programs.
	Kind Kind
	// Cause says what was found, one line without a full stop.
	Cause string
	// Remedy says what would change it, one line without a full stop.
	Remedy string
	// Err is the system's error below the cause, or nil.
	Err error
}

// Error returns "CAUSE (REMEDY)".
func (r *Reason) Error() string {
	return fmt.Sprintf("%s (%s)", r.Cause, r.Remedy)
}

// Unwrap returns the system's error, or nil.
func (r *Reason) Unwrap() error { return r.Err }

// Host is what is looked at. The zero value is not usable: see This.
type Host struct {
	// Root stands before the paths below /dev, /proc and /sys: tests put other trees
	// in their place. Messages have the paths without it.
	Root string
	// Arch is the processor's, as runtime.GOARCH.
	Arch string

	limit time.Duration // longest wait for the kernel
	ioctl func(fd int, request uint) (int, error)
}

// limit is below the second in which everything here answers.
const limit = 800 * time.Millisecond

// This is the host that the program runs on.
func This() Host { return Host{Arch: runtime.GOARCH, limit: limit, ioctl: unix.IoctlRetInt} }

func (h Host) path(name string) string { return filepath.Join(h.Root, name) }

func (h Host) exists(name string) bool {
	_, err := os.Stat(h.path(name))
	return err == nil
}

// bounded runs a probe of a device under the time limit. One that is stuck in the
// kernel cannot be interrupted; its thread is left behind.
func (h Host) bounded(device string, timeout Kind, probe func() *Reason) *Reason {
	done := make(chan *Reason, 1)
	go func() { done <- probe() }()
	timer := time.NewTimer(h.limit)
	defer timer.Stop()
	select {
	case r := <-done:
		return r
	case <-timer.C:
		return &Reason{Kind: timeout,
			Cause:  fmt.Sprintf("%s did not answer within %v", device, h.limit),
			Remedy: "look for its errors in the kernel log; the host may be overloaded or the driver stuck",
			Err:    os.ErrDeadlineExceeded}
	}
}
