package vm

import (
	"context"
	"errors"
)

// ErrNoHotMemory is what machines without Capabilities.HotMemory answer.
var ErrNoHotMemory = errors.New("the memory of a machine of this kind is chosen when it is made")

// NoHotMemory is for machines that lack the capability to embed.
type NoHotMemory struct{}

// SetMemory implements Machine.
func (NoHotMemory) SetMemory(context.Context, int) (int, error) { return 0, ErrNoHotMemory }

// ErrNoHotCPUs is what machines without Capabilities.HotCPUs answer.
var ErrNoHotCPUs = errors.New("the processors of a machine of this kind are chosen when it is made")

// NoHotCPUs is for machines that lack the capability to embed.
type NoHotCPUs struct{}

// SetVCPUs implements Machine.
func (NoHotCPUs) SetVCPUs(context.Context, int) error { return ErrNoHotCPUs }

// ErrNoHotDisks is what machines without Capabilities.HotDisks answer.
var ErrNoHotDisks = errors.New("the disks of a machine of this kind are chosen when it is made")

// NoHotDisks is for machines that lack the capability to embed.
type NoHotDisks struct{}

// AddDisk implements Machine.
func (NoHotDisks) AddDisk(context.Context, Disk) error { return ErrNoHotDisks }

// RemoveDisk implements Machine.
func (NoHotDisks) RemoveDisk(context.Context, string) error { return ErrNoHotDisks }

// ErrNoHotNICs is what machines without Capabilities.HotNICs answer.
var ErrNoHotNICs = errors.New("the network devices of a machine of this kind are chosen when it is made")

// NoHotNICs is for machines that lack the capability to embed.
type NoHotNICs struct{}

// AddNIC implements Machine.
func (NoHotNICs) AddNIC(context.Context, NIC) error { return ErrNoHotNICs }
