// Package network takes the interfaces of a network namespace over for a machine:
// it says what they are (addresses, routes, neighbours, MTU), carries their frames
// by packet sockets that the machine inherits, and keeps the host's own stack in
// the namespace from answering as well.
//
// Nothing in the namespace is changed that outlives the process: the host's stack
// is kept quiet by a program whose attachment ends with its descriptor. The
// package does not configure the guest, does not make interfaces, and does not
// know containers or machines.
package network
