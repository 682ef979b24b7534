// Package check finds out what this host can do for virtual machines and, where
// it cannot, says why and what would help.
//
// It states facts; it does not choose a driver (package vm does), changes nothing
// on the host, and never hangs. It does nothing at start-up and has no state.
package check

import "fmt"

// Kind classifies why hardware virtualization cannot be used.
type Kind string

// The kinds of Reason that KVM returns.
const (
	// KVMAbsent: there is no device node.
	KVMAbsent Kind = "absent"
	// KVMPermission: the device may not be opened by this user.
	KVMPermission Kind = "permission"
	// KVMBroken: the node opens or answers in a way that KVM does not.
	KVMBroken Kind = "broken"
	// KVMOldAPI: the API version is not 12, the only one since Linux 2.6.22.
	KVMOldAPI Kind = "api"
	// KVMNoExtension: the CPU offers neither VMX nor SVM, whatever the node says.
	KVMNoExtension Kind = "no-extension"
	// KVMNoVM: the kernel refused to create a virtual machine.
	KVMNoVM Kind = "no-vm"
	// KVMTimeout: the kernel gave no answer in time.
	KVMTimeout Kind = "timeout"
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
