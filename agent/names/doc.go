// Package names answers the guest's processes at an address of a name server that
// only the host reaches: it passes each question to the host on a stream of the
// channel, and the answer back.
//
// Processes that ask the address at port 53 are led to another port of it, by
// programs of BPF at the root of the cgroups, so that a container can have a name
// server of its own at that port.
//
// It does not look into messages, does not keep answers, does not repeat questions,
// and does not decide which addresses there are.
package names
