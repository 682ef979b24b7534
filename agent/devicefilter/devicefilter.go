// Package devicefilter writes the programs that decide which devices the processes of
// a cgroup may make and open (BPF_PROG_TYPE_CGROUP_DEVICE), from rules as
// linux.resources.devices of the OCI runtime specification has them.
//
// The host compiles, and the agent knows what is compiled most often. The package does
// not load programs, and does not read configurations.
package devicefilter

import (
	"encoding/binary"
	"slices"
)

// Types of devices and kinds of access, as a program sees them (linux/bpf.h,
// BPF_DEVCG_*).
const (
	Block, Char        = 1, 2
	Mknod, Read, Write = 1, 2, 4
	All                = Mknod | Read | Write
)

const (
	registerResult, registerContext        = 0, 1
	registerType, registerAccess           = 2, 3
	registerMajor, registerMinor           = 4, 5
	opLoad, opMove, opShift, opAnd, opSet  = 0x61, 0xbf, 0x74, 0x54, 0xb7
	opNotEqual, opIntersect, opJump, opEnd = 0x56, 0x45, 0x05, 0x95
)

// Rule is one rule: a Kind of 0 is any, as are a Major and Minor of -1.
type Rule struct {
	Kind         int32
	Major, Minor int64
	Access       int32
	Allow        bool
}

// Everything says that a rule is about every access to every device.
func (r *Rule) Everything() bool {
	return r.Kind == 0 && r.Major < 0 && r.Minor < 0 && r.Access == All
}

// covers says that a rule is about all that another is about.
func (r *Rule) covers(other *Rule) bool {
	within := func(all, one int64) bool { return all < 0 || all == one }
	return (r.Kind == 0 || r.Kind == other.Kind) && within(r.Major, other.Major) && within(r.Minor, other.Minor) && other.Access&^r.Access == 0
}

// Defaults are runc's, which come after those of a configuration: every node may be
// made, and those that each container has be used, terminals included.
var Defaults = []Rule{
	{Char, -1, -1, Mknod, true}, {Block, -1, -1, Mknod, true},
	{Char, 1, 3, All, true}, {Char, 1, 5, All, true}, {Char, 1, 7, All, true},
	{Char, 1, 8, All, true}, {Char, 1, 9, All, true}, {Char, 5, 0, All, true},
	{Char, 5, 2, All, true}, {Char, 136, -1, All, true},
}

// Usual are the programs of containers for which nobody asks for devices: what runc's
// own configuration and Podman say, containerd, and Docker.
func Usual() [][]byte {
	none, console := Rule{0, -1, -1, All, false}, Rule{Char, 5, 1, All, true}
	var programs [][]byte
	for _, rules := range [][]Rule{{none}, {none, console}, {none, console, {Char, 10, 229, All, false}}} {
		programs = append(programs, Program(append(rules, Defaults...)))
	}
	return programs
}

// Program compiles rules to instructions of 8 bytes, little endian; without any, everything
// is denied. Of the rules about a kind of access to a device the last counts, so that they
// are tried in reverse; what is still to be allowed of the access is kept in a register.
func Program(rules []Rule) []byte {
	var p program
	p.add(opLoad, registerType, registerContext, 0, 0) // access << 16 | type
	p.add(opLoad, registerMajor, registerContext, 4, 0)
	p.add(opLoad, registerMinor, registerContext, 8, 0)
	p.add(opMove, registerAccess, registerType, 0, 0)
	p.add(opShift, registerAccess, 0, 0, 16)
	p.add(opAnd, registerType, 0, 0, 0xffff)
	for i, r := range slices.Backward(rules) {
		if slices.ContainsFunc(rules[i+1:], func(later Rule) bool { return later.covers(&r) }) {
			continue // it decides nothing
		}
		if r.Everything() {
			p.decide(r.Allow)
			return p
		}
		p.rule(&r)
	}
	p.decide(false)
	return p
}

// program is an array of struct bpf_insn, little endian.
type program []byte

func (p *program) add(op, dst, src byte, offset int16, immediate int32) {
	b := append(*p, op, src<<4|dst)
	b = binary.LittleEndian.AppendUint16(b, uint16(offset))
	*p = binary.LittleEndian.AppendUint32(b, uint32(immediate))
}

func (p *program) decide(allow bool) {
	result := int32(0)
	if allow {
		result = 1
	}
	p.add(opSet, registerResult, 0, 0, result)
	p.add(opEnd, 0, 0, 0, 0)
}

func (p *program) rule(r *Rule) {
	var test, body program
	if r.Allow {
		body.add(opAnd, registerAccess, 0, 0, All&^r.Access)
		body.add(opNotEqual, registerAccess, 0, 2, 0)
	} else {
		body.add(opIntersect, registerAccess, 0, 1, r.Access)
		body.add(opJump, 0, 0, 2, 0)
	}
	body.decide(r.Allow)
	// Each of the conditions jumps over the others that follow and the body.
	const size = 8
	conditions := []struct {
		register byte
		value    int64
	}{{registerMinor, r.Minor}, {registerMajor, r.Major}, {registerType, int64(r.Kind)}}
	for _, c := range conditions {
		if c.value < 0 || c.register == registerType && c.value == 0 {
			continue
		}
		var one program
		one.add(opNotEqual, c.register, 0, int16((len(test)+len(body))/size), int32(uint32(c.value)))
		test = append(one, test...)
	}
	*p = append(append(*p, test...), body...)
}
