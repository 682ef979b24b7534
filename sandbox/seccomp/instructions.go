package seccomp

import (
	"math"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// instruction is struct sock_filter.
type instruction struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

const (
	ldAbs = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	and   = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	ja    = unix.BPF_JMP | unix.BPF_JA
	jeq   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	jgt   = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	jge   = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
)

// Offsets in struct seccomp_data.
const (
	offNr   = 0
	offArch = 4
	offArgs = 16
)

func ret(k uint32) instruction {
	return instruction{code: unix.BPF_RET | unix.BPF_K, k: k}
}

// branch compares the accumulator with k. If the comparison holds, it skips the
// code in ifNot, else the code in ifSo; one of them is nil. A distance that does
// not fit into a conditional jump takes a jump more.
func branch(op uint16, k uint32, ifNot, ifSo []instruction) []instruction {
	if len(ifNot) <= math.MaxUint8 && len(ifSo) <= math.MaxUint8 {
		return []instruction{{code: op, jt: uint8(len(ifNot)), jf: uint8(len(ifSo)), k: k}}
	}
	if ifSo != nil {
		return []instruction{{code: op, jt: 1, jf: 0, k: k}, {code: ja, k: uint32(len(ifSo))}}
	}
	return []instruction{{code: op, jt: 0, jf: 1, k: k}, {code: ja, k: uint32(len(ifNot))}}
}

// condition puts a comparison of an argument in front of then, which runs if it
// holds; else what follows then. An argument has two halves, but on a 32-bit
// architecture only the lower one.
func (a *arch) condition(arg specs.LinuxSeccompArg, then []instruction) []instruction {
	mask, want := uint64(math.MaxUint64), arg.Value
	if arg.Op == specs.OpMaskedEqual {
		mask, want = arg.Value, arg.ValueTwo&arg.Value
	}
	lo := halfTest{offArgs + 8*uint32(arg.Index), uint32(mask), uint32(want)}
	hi := halfTest{lo.offset + 4, uint32(mask >> 32), uint32(want >> 32)}
	// How far it is from the end of the comparison to success and to failure.
	const yes = 0
	no := uint8(len(then))

	low := func(op uint16, jt, jf uint8) []instruction {
		return append(lo.load(), instruction{code: op, jt: jt, jf: jf, k: lo.want})
	}
	var tail, head []instruction
	switch arg.Op {
	case specs.OpEqualTo, specs.OpMaskedEqual:
		tail = low(jeq, yes, no)
		head = []instruction{{code: jeq, jt: 0, jf: no + uint8(len(tail)), k: hi.want}}
	case specs.OpNotEqual:
		tail = low(jeq, no, yes)
		head = []instruction{{code: jeq, jt: 0, jf: yes + uint8(len(tail)), k: hi.want}}
	case specs.OpGreaterThan, specs.OpGreaterEqual:
		op := uint16(jgt)
		if arg.Op == specs.OpGreaterEqual {
			op = jge
		}
		tail = low(op, yes, no)
		head = []instruction{
			{code: jgt, jt: yes + uint8(len(tail)) + 1, jf: 0, k: hi.want},
			{code: jeq, jt: 0, jf: no + uint8(len(tail)), k: hi.want}}
	case specs.OpLessThan, specs.OpLessEqual:
		op := uint16(jge)
		if arg.Op == specs.OpLessEqual {
			op = jgt
		}
		tail = low(op, no, yes)
		head = []instruction{
			{code: jgt, jt: no + uint8(len(tail)) + 1, jf: 0, k: hi.want},
			{code: jeq, jt: 0, jf: yes + uint8(len(tail)), k: hi.want}}
	}
	if a.bits == 32 {
		return append(tail, then...)
	}
	return slices.Concat(hi.load(), head, tail, then)
}

// halfTest is 32 bits of an argument, and what they are compared with.
type halfTest struct{ offset, mask, want uint32 }

func (h halfTest) load() []instruction {
	code := []instruction{{code: ldAbs, k: h.offset}}
	if h.mask != math.MaxUint32 {
		code = append(code, instruction{code: and, k: h.mask})
	}
	return code
}
