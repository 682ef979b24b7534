package devicefilter

import (
	"encoding/binary"
	"slices"
	"testing"
)

// decision runs a program as the kernel would, for one access to one device.
func decision(t *testing.T, p []byte, kind, access, major, minor uint32) bool {
	t.Helper()
	context := map[int16]uint32{0: access<<16 | kind, 4: major, 8: minor}
	var reg [16]uint32
	for pc := 0; pc*8 < len(p); pc++ {
		in := p[pc*8:]
		dst, src := in[1]&15, in[1]>>4
		offset, imm := int16(binary.LittleEndian.Uint16(in[2:])), binary.LittleEndian.Uint32(in[4:])
		switch in[0] {
		case opLoad:
			reg[dst] = context[offset]
		case opMove:
			reg[dst] = reg[src]
		case opShift:
			reg[dst] >>= imm
		case opAnd:
			reg[dst] &= imm
		case opSet:
			reg[dst] = imm
		case opNotEqual:
			if reg[dst] != imm {
				pc += int(offset)
			}
		case opIntersect:
			if reg[dst]&imm != 0 {
				pc += int(offset)
			}
		case opJump:
			pc += int(offset)
		case opEnd:
			return reg[registerResult] == 1
		default:
			t.Fatalf("instruction %d: %#x", pc, in[0])
		}
	}
	t.Fatal("the program does not end")
	return false
}

var none, all = Rule{0, -1, -1, All, false}, Rule{0, -1, -1, All, true}

func TestProgram(t *testing.T) {
	writeless := Rule{Block, 8, 1, Write, false}
	halves := []Rule{none, {Char, 10, -1, Read, true}, {Char, 10, 229, Write, true}}
	for name, tc := range map[string]struct {
		rules                      []Rule
		kind, access, major, minor uint32
		want                       bool
	}{
		"default":                  {nil, Char, Read, 10, 229, false},
		"null":                     {[]Rule{none}, Char, Read | Write, 1, 3, true},
		"a block device like null": {[]Rule{none}, Block, Read, 1, 3, false},
		"any terminal":             {nil, Char, Write, 136, 77, true},
		"any node":                 {[]Rule{none}, Block, Mknod, 8, 1, true},
		"a node and more":          {[]Rule{none}, Block, Mknod | Read, 8, 1, false},
		"everything":               {[]Rule{none, all}, Block, All, 8, 1, true},
		"all but one":              {[]Rule{all, writeless}, Block, Read | Write, 8, 1, false},
		"all but another":          {[]Rule{all, writeless}, Block, Read | Write, 8, 2, true},
		"of one, what is left":     {[]Rule{all, writeless}, Block, Read, 8, 1, true},
		"added up":                 {halves, Char, Read | Write, 10, 229, true},
		"not added up":             {halves, Char, Read | Write, 10, 228, false},
		"of either type":           {[]Rule{{0, 7, 0, Read | Write, true}}, Block, Read, 7, 0, true},
		"taken back":               {[]Rule{{Char, 10, 229, Read | Write, true}, none}, Char, Read, 10, 229, false},
		"given again":              {[]Rule{{Char, 10, 229, Read, true}, none, {Char, 10, 229, Read | Write, true}}, Char, Read, 10, 229, true},
		"given again in part":      {[]Rule{{Char, 10, 229, Read | Write, true}, none, {Char, 10, 229, Read, true}}, Char, Write, 10, 229, false},
	} {
		program := Program(slices.Concat(tc.rules, Defaults))
		if got := decision(t, program, tc.kind, tc.access, tc.major, tc.minor); got != tc.want {
			t.Errorf("%s: allowed %v, want %v", name, got, tc.want)
		}
	}
}

// What says the same becomes the same program: that is how the usual ones are known.
func TestProgramWithoutRepetition(t *testing.T) {
	said := []Rule{none, {Char, 1, 3, All, true}, {Char, 136, 4, Read | Write, true}, {Char, 5, 1, All, true}, {Char, 5, 1, Read, true}, {Char, 5, 1, All, true}}
	got := Program(slices.Concat(said, Defaults))
	if !slices.ContainsFunc(Usual(), func(p []byte) bool { return slices.Equal(p, got) }) {
		t.Errorf("%d instructions, and none of the usual programs", len(got)/8)
	}
}
