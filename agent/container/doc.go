// Package container is the agent's executor: it makes the containers of a guest
// and the processes in them.
//
// A container's first process is cloned before anything else, sharing the
// agent's memory (as vfork does, but without suspending the agent). It waits in
// a futex while a thread of the agent enters its new namespaces and prepares
// them in ordinary Go: mounts, pivot_root, devices, host name. On Start it runs
// a program, a list of system calls that the agent has written down for it, whose
// last one is execve. No second Go runtime starts inside the container and no
// page tables are copied, which on a user-mode kernel costs more than everything
// else together.
//
// The package receives compiled configuration (package api) and does not know
// the OCI specification, the network, or the host.
package container
