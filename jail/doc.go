// Package jail confines the process of a virtual machine monitor: a guest that
// has taken its monitor over finds itself in a place with nothing to take.
//
// The jail is: user, mount, pid, network, IPC and UTS namespaces of its own; a
// read-only root with only the files and directories that were let in; root's
// name without root's privileges (a few capabilities, over its own files only);
// no_new_privs; an allow-list of system calls that the driver declares; resource
// limits; a host cgroup; and a life that ends with its owner's.
//
// Two processes make it. The owner (Start) opens what is let in and clones the
// second, the program's own executable under the name of InitName, which becomes
// PID 1 of the jail (Init), builds it from inside, starts the monitor as a child
// and waits. When the owner goes away the connection between the two breaks, PID 1
// ends, and the kernel ends everything else in the pid namespace.
//
// The package does not know any monitor, does not choose limits, and does not
// talk to the guest.
package jail
