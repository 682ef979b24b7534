// Package seccomp compiles a profile of the OCI runtime specification
// (config-linux.md, "Seccomp") into a classic BPF program for seccomp(2).
//
// It is what libseccomp and runc's use of it are elsewhere, in Go, on the host:
// the guest gets finished instructions. System calls are found by a binary search
// over ranges of numbers with the same action, which for an engine's default profile
// are some seven comparisons.
//
// The package does not install filters, does not supervise them (no
// SCMP_ACT_NOTIFY), and knows the architectures that our guests can run only.
// Profiles are validated by package oci before they come here.
package seccomp

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Filter is what seccomp(2) takes with SECCOMP_SET_MODE_FILTER.
type Filter struct {
	// Program is an array of struct sock_filter, little endian.
	Program []byte
	// Flags are SECCOMP_FILTER_FLAG_*.
	Flags uint32
}

// MaxInstructions is BPF_MAXINSNS, the kernel's limit.
const MaxInstructions = 4096

// Return values of a filter (seccomp(2), "Return value of a filter").
var actions = map[specs.LinuxSeccompAction]uint32{
	specs.ActKill:        unix.SECCOMP_RET_KILL_THREAD,
	specs.ActKillThread:  unix.SECCOMP_RET_KILL_THREAD,
	specs.ActKillProcess: unix.SECCOMP_RET_KILL_PROCESS,
	specs.ActTrap:        unix.SECCOMP_RET_TRAP,
	specs.ActErrno:       unix.SECCOMP_RET_ERRNO,
	specs.ActTrace:       unix.SECCOMP_RET_TRACE,
	specs.ActAllow:       unix.SECCOMP_RET_ALLOW,
	specs.ActLog:         unix.SECCOMP_RET_LOG,
}

var flags = map[specs.LinuxSeccompFlag]uint32{
	specs.LinuxSeccompFlagLog:       unix.SECCOMP_FILTER_FLAG_LOG,
	specs.LinuxSeccompFlagSpecAllow: unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW,
	"SECCOMP_FILTER_FLAG_TSYNC":     unix.SECCOMP_FILTER_FLAG_TSYNC,
}

// action is the return value for an action of the profile. Without an errno of its
// own, ERRNO and TRACE have EPERM.
func action(a specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	ret, ok := actions[a]
	if !ok {
		return 0, fmt.Errorf("action %q cannot be applied in the guest", a)
	}
	if a == specs.ActErrno || a == specs.ActTrace {
		data := uint(unix.EPERM)
		if errno != nil {
			data = *errno
		}
		ret |= uint32(data) & unix.SECCOMP_RET_DATA
	}
	return ret, nil
}

// Compile compiles a profile for a guest of the architecture goarch.
func Compile(p *specs.LinuxSeccomp, goarch string) (*Filter, error) {
	def, err := action(p.DefaultAction, p.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	f := &Filter{}
	if p.Flags == nil { // as runc: a filter alone is no reason to slow the process down
		f.Flags = unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	}
	for _, name := range p.Flags {
		bit, ok := flags[name]
		if !ok {
			return nil, fmt.Errorf("flag %q cannot be applied in the guest", name)
		}
		f.Flags |= bit
	}
	arches, err := chosen(p.Architectures, goarch)
	if err != nil {
		return nil, err
	}
	code := []instruction{{code: ldAbs, k: offArch}}
	for _, a := range arches {
		body, err := a.compile(p, def)
		if err != nil {
			return nil, err
		}
		code = append(append(code, branch(jeq, a.audit, nil, body)...), body...)
	}
	// What the profile does not speak of must not run: libseccomp's default.
	code = append(code, ret(unix.SECCOMP_RET_KILL_THREAD))
	if len(code) > MaxInstructions {
		return nil, fmt.Errorf("needs %d instructions, the kernel takes %d: the profile has too many conditions", len(code), MaxInstructions)
	}
	f.Program = encode(code)
	return f, nil
}

// rule is one rule for a system call: all its conditions must hold.
type rule struct {
	ret  uint32
	args []specs.LinuxSeccompArg
}

// rules collects the rules of each system call by number. As in libseccomp, the
// first rule without conditions replaces those with conditions and stands. newer is
// above the largest number that the profile speaks of; 0 if it speaks of none.
func (a *arch) rules(p *specs.LinuxSeccomp, def uint32) (rules map[uint32][]rule, newer uint32, err error) {
	rules = map[uint32][]rule{}
	numbers := a.numbers()
	for _, s := range p.Syscalls {
		ret, err := action(s.Action, s.ErrnoRet)
		if err != nil {
			return nil, 0, err
		}
		for _, name := range s.Names {
			nr, known := numbers[name]
			if !known {
				continue // of another architecture, or too new, or too old
			}
			newer = max(newer, nr+1)
			have := rules[nr]
			switch {
			case ret == def: // says nothing
			case len(have) == 1 && len(have[0].args) == 0: // already decided
			case len(s.Args) == 0:
				rules[nr] = []rule{{ret: ret}}
			default:
				rules[nr] = append(have, split(ret, s.Args)...)
			}
		}
	}
	return rules, newer, nil
}

// split makes alternatives of conditions that name an argument twice, as runc does
// for the sake of old profiles.
func split(ret uint32, args []specs.LinuxSeccompArg) []rule {
	var seen [6]bool
	twice := false
	for _, a := range args {
		twice = twice || seen[a.Index]
		seen[a.Index] = true
	}
	if !twice {
		return []rule{{ret, args}}
	}
	var out []rule
	for i := range args {
		out = append(out, rule{ret, args[i : i+1]})
	}
	return out
}

// span is the code for the system calls from first up to the next span.
type span struct {
	first uint32
	code  []instruction
}

func (a *arch) compile(p *specs.LinuxSeccomp, def uint32) ([]instruction, error) {
	rules, first, err := a.rules(p, def)
	if err != nil {
		return nil, err
	}
	otherwise := []instruction{ret(def)}
	spans := []span{{0, otherwise}}
	add := func(first uint32, code []instruction) {
		if last := len(spans) - 1; spans[last].first == first { // empty
			spans = spans[:last]
		}
		if last := len(spans) - 1; last < 0 || !slices.Equal(spans[last].code, code) {
			spans = append(spans, span{first, code})
		}
	}
	for _, nr := range slices.Sorted(maps.Keys(rules)) {
		add(nr, a.alternatives(rules[nr], def))
		add(nr+1, otherwise)
	}
	// A profile that is older than the kernel says nothing about newer system
	// calls, and programs fall back only on ENOSYS (runc's patch of the filter).
	newer := otherwise
	if first > 0 && !permissive(p.DefaultAction) {
		newer = []instruction{ret(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS))}
	}
	add(first, newer)
	if a.x32 {
		// Our guests' kernels have no such ABI: ENOSYS is what they would say.
		x32 := ret(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS))
		if !slices.Contains(p.Architectures, specs.ArchX32) {
			x32 = ret(unix.SECCOMP_RET_KILL_THREAD)
		}
		add(x32Bit, []instruction{x32})
		add(math.MaxUint32, newer) // a tracer's "no system call"
	}
	return append([]instruction{{code: ldAbs, k: offNr}}, search(spans)...), nil
}

func permissive(a specs.LinuxSeccompAction) bool {
	return a == specs.ActAllow || a == specs.ActLog || a == specs.ActTrace
}

// search finds the span of the number in the accumulator.
func search(spans []span) []instruction {
	if len(spans) == 1 {
		return spans[0].code
	}
	mid := len(spans) / 2
	below, above := search(spans[:mid]), search(spans[mid:])
	code := branch(jge, spans[mid].first, below, nil)
	return slices.Concat(code, below, above)
}

// alternatives tries one rule after the other.
func (a *arch) alternatives(rules []rule, def uint32) []instruction {
	var code []instruction
	for _, r := range rules {
		one := []instruction{ret(r.ret)}
		for _, arg := range slices.Backward(r.args) {
			one = a.condition(arg, one)
		}
		code = append(code, one...)
		if len(r.args) == 0 {
			return code
		}
	}
	return append(code, ret(def))
}

// encode writes the instructions as the kernel reads them.
func encode(code []instruction) []byte {
	out := make([]byte, 0, 8*len(code))
	for _, i := range code {
		out = binary.LittleEndian.AppendUint16(out, i.code)
		out = append(out, i.jt, i.jf)
		out = binary.LittleEndian.AppendUint32(out, i.k)
	}
	return out
}
