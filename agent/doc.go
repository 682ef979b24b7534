// Package agent is what runs inside a machine: PID 1 of the guest, which sets the
// guest up, answers the host's requests (package api) over the channel, and
// has package container make the containers.
//
// Its time to the first answer and its memory are part of every container's
// start and cost, so it does before the greeting only what the greeting needs,
// and imports little. It does not know which hypervisor it runs on, beyond the
// name of its channel's device on the kernel's command line, and it never
// connects to anything but the channel.
package agent
