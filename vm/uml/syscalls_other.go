//go:build !amd64

package uml

// syscalls: Probe says that there is no user-mode kernel for this processor.
var syscalls []uint32
