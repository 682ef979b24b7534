// Package link makes network devices of the guest what the host's interfaces are:
// name, hardware address, MTU, addresses, routes and neighbours, by rtnetlink(7).
//
// It does not make devices, does not decide anything about them, and does not
// read the guest's configuration back: it knows what it was asked for before.
package link
