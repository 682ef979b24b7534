// Package network takes the interfaces of a network namespace over for a machine:
// it says what they are (addresses, routes, neighbours, MTU), carries their frames
// by packet sockets that the machine inherits or by tap devices of the machine's, and
// keeps the host's own stack in the namespace from answering as well.
//
// Nothing in the namespace is changed that outlives process and machine: programs at
// interfaces are attached by descriptors, and a tap device ends with those of its queues. The
// package does not configure the guest, does not make interfaces, and does not
// know containers or machines.
package network
