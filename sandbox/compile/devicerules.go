package compile

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Types of devices and kinds of access, as a program of a device cgroup sees them
// (linux/bpf.h, BPF_DEVCG_*).
const (
	deviceBlock, deviceChar                = 1, 2
	accessMknod, accessRead, accessWrite   = 1, 2, 4
	accessAll                              = accessMknod | accessRead | accessWrite
	registerResult, registerContext        = 0, 1
	registerType, registerAccess           = 2, 3
	registerMajor, registerMinor           = 4, 5
	opLoad, opMove, opShift, opAnd, opSet  = 0x61, 0xbf, 0x74, 0x54, 0xb7
	opNotEqual, opIntersect, opJump, opEnd = 0x56, 0x45, 0x05, 0x95
)

// deviceRule is one rule of linux.resources.devices: -1 and a type of 0 are any.
type deviceRule struct {
	kind         int32
	major, minor int64
	access       int32
	allow        bool
}

func (r *deviceRule) everything() bool {
	return r.kind == 0 && r.major < 0 && r.minor < 0 && r.access == accessAll
}

// defaultDeviceRules are runc's: every node may be made, and those that each
// container has be used, terminals included.
var defaultDeviceRules = []deviceRule{
	{deviceChar, -1, -1, accessMknod, true}, {deviceBlock, -1, -1, accessMknod, true},
	{deviceChar, 1, 3, accessAll, true}, {deviceChar, 1, 5, accessAll, true}, {deviceChar, 1, 7, accessAll, true},
	{deviceChar, 1, 8, accessAll, true}, {deviceChar, 1, 9, accessAll, true}, {deviceChar, 5, 0, accessAll, true},
	{deviceChar, 5, 2, accessAll, true}, {deviceChar, 136, -1, accessAll, true},
}

// deviceRules reads the rules of a configuration. As with runc, the default ones
// come last, and what no rule is about is denied.
func deviceRules(list []specs.LinuxDeviceCgroup) ([]deviceRule, error) {
	var rules []deviceRule
	kinds := map[string]int32{"": 0, "a": 0, "c": deviceChar, "b": deviceBlock}
	for i, d := range list {
		r := deviceRule{kind: kinds[d.Type], major: -1, minor: -1, allow: d.Allow}
		for _, n := range []struct {
			name string
			from *int64
			to   *int64
		}{{"major", d.Major, &r.major}, {"minor", d.Minor, &r.minor}} {
			if n.from == nil {
				continue
			}
			if *n.from < -1 || *n.from > math.MaxUint32 {
				return nil, field(fmt.Sprintf("linux.resources.devices[%d].%s", i, n.name), "%d is no device number", *n.from)
			}
			*n.to = *n.from
		}
		for letter, bit := range map[string]int32{"r": accessRead, "w": accessWrite, "m": accessMknod} {
			if strings.Contains(d.Access, letter) {
				r.access |= bit
			}
		}
		rules = append(rules, r)
	}
	return append(rules, defaultDeviceRules...), nil
}

// unrestricted says that nothing is denied: a rule allows everything, and none after
// it denies anything.
func unrestricted(rules []deviceRule) bool {
	for _, r := range slices.Backward(rules) {
		switch {
		case !r.allow:
			return false
		case r.everything():
			return true
		}
	}
	return false
}

// deviceProgram compiles rules to a program of type BPF_PROG_TYPE_CGROUP_DEVICE. Of
// the rules about a kind of access to a device the last counts, so that they are
// tried in reverse; what is still to be allowed of the access is kept in a register.
func deviceProgram(rules []deviceRule) []byte {
	var p program
	p.add(opLoad, registerType, registerContext, 0, 0) // access << 16 | type
	p.add(opLoad, registerMajor, registerContext, 4, 0)
	p.add(opLoad, registerMinor, registerContext, 8, 0)
	p.add(opMove, registerAccess, registerType, 0, 0)
	p.add(opShift, registerAccess, 0, 0, 16)
	p.add(opAnd, registerType, 0, 0, 0xffff)
	for _, r := range slices.Backward(rules) {
		if r.everything() {
			p.decide(r.allow)
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

func (p *program) rule(r *deviceRule) {
	var test, body program
	if r.allow {
		body.add(opAnd, registerAccess, 0, 0, accessAll&^r.access)
		body.add(opNotEqual, registerAccess, 0, 2, 0)
	} else {
		body.add(opIntersect, registerAccess, 0, 1, r.access)
		body.add(opJump, 0, 0, 2, 0)
	}
	body.decide(r.allow)
	// Each of the conditions jumps over the others that follow and the body.
	const size = 8
	conditions := []struct {
		register byte
		value    int64
	}{{registerMinor, r.minor}, {registerMajor, r.major}, {registerType, int64(r.kind)}}
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
