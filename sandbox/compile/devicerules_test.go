package compile

import (
	"encoding/binary"
	"errors"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/oci"
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

func TestDeviceRules(t *testing.T) {
	rule := func(allow bool, kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Major: &major, Minor: &minor, Access: access}
	}
	none := specs.LinuxDeviceCgroup{Access: "rwm"}
	all := specs.LinuxDeviceCgroup{Allow: true, Access: "rwm"}
	for name, tc := range map[string]struct {
		rules                      []specs.LinuxDeviceCgroup
		kind, access, major, minor uint32
		want                       bool
	}{
		"default":                  {nil, deviceChar, accessRead, 10, 229, false},
		"null":                     {[]specs.LinuxDeviceCgroup{none}, deviceChar, accessRead | accessWrite, 1, 3, true},
		"a block device like null": {[]specs.LinuxDeviceCgroup{none}, deviceBlock, accessRead, 1, 3, false},
		"any terminal":             {nil, deviceChar, accessWrite, 136, 77, true},
		"any node":                 {[]specs.LinuxDeviceCgroup{none}, deviceBlock, accessMknod, 8, 1, true},
		"a node and more":          {[]specs.LinuxDeviceCgroup{none}, deviceBlock, accessMknod | accessRead, 8, 1, false},
		"everything":               {[]specs.LinuxDeviceCgroup{none, all}, deviceBlock, accessAll, 8, 1, true},
		"all but one":              {[]specs.LinuxDeviceCgroup{all, rule(false, "b", 8, 1, "w")}, deviceBlock, accessRead | accessWrite, 8, 1, false},
		"all but another":          {[]specs.LinuxDeviceCgroup{all, rule(false, "b", 8, 1, "w")}, deviceBlock, accessRead | accessWrite, 8, 2, true},
		"of one, what is left":     {[]specs.LinuxDeviceCgroup{all, rule(false, "b", 8, 1, "w")}, deviceBlock, accessRead, 8, 1, true},
		"added up":                 {[]specs.LinuxDeviceCgroup{none, rule(true, "c", 10, -1, "r"), rule(true, "c", 10, 229, "w")}, deviceChar, accessRead | accessWrite, 10, 229, true},
		"not added up":             {[]specs.LinuxDeviceCgroup{none, rule(true, "c", 10, -1, "r"), rule(true, "c", 10, 229, "w")}, deviceChar, accessRead | accessWrite, 10, 228, false},
		"of either type":           {[]specs.LinuxDeviceCgroup{rule(true, "a", 7, 0, "rw")}, deviceBlock, accessRead, 7, 0, true},
		"taken back":               {[]specs.LinuxDeviceCgroup{rule(true, "c", 10, 229, "rw"), none}, deviceChar, accessRead, 10, 229, false},
	} {
		rules, err := deviceRules(tc.rules)
		if err != nil {
			t.Fatal(err)
		}
		if got := decision(t, deviceProgram(rules), tc.kind, tc.access, tc.major, tc.minor); got != tc.want {
			t.Errorf("%s: allowed %v, want %v", name, got, tc.want)
		}
	}
	for _, tc := range []struct {
		rules []specs.LinuxDeviceCgroup
		want  bool
	}{{nil, false}, {[]specs.LinuxDeviceCgroup{all}, true}, {[]specs.LinuxDeviceCgroup{all, none}, false}, {[]specs.LinuxDeviceCgroup{none, all}, true}} {
		if r, err := CompileResources(&specs.LinuxResources{Devices: tc.rules}, nil); err != nil || r.Unrestricted != tc.want {
			t.Errorf("%v: unrestricted %v, %v", tc.rules, r.Unrestricted, err)
		}
	}
	for want, r := range map[string]specs.LinuxDeviceCgroup{
		"linux.resources.devices[0].major": rule(true, "c", -2, 0, "r"),
		"linux.resources.devices[0].minor": rule(true, "c", 0, 1<<32, "r"),
	} {
		_, err := CompileResources(&specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{r}}, nil)
		if e, ok := errors.AsType[*oci.ConfigError](err); !ok || e.Field != want {
			t.Errorf("%v, want a ConfigError of %s", err, want)
		}
	}
}
