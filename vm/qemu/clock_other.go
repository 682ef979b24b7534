//go:build !amd64

package qemu

// counterKHz is the frequency of an emulated processor's time stamp counter: elsewhere
// QEMU counts nanoseconds.
func counterKHz() int64 { return 1_000_000 }
