package seccomp

import (
	"embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// arch is an architecture of system calls.
type arch struct {
	name  specs.Arch
	table string // file with its system calls
	audit uint32 // AUDIT_ARCH_*
	bits  int
	x32   bool // numbers from x32Bit are of another ABI
}

// x32Bit is __X32_SYSCALL_BIT.
const x32Bit = 0x40000000

// arches lists, for each architecture that a guest can have, what its processes
// can be; the first is the native one.
var arches = map[string][]arch{
	"amd64": {
		{name: specs.ArchX86_64, table: "amd64", audit: unix.AUDIT_ARCH_X86_64, bits: 64, x32: true},
		{name: specs.ArchX86, table: "386", audit: unix.AUDIT_ARCH_I386, bits: 32},
	},
	"arm64": {
		{name: specs.ArchAARCH64, table: "arm64", audit: unix.AUDIT_ARCH_AARCH64, bits: 64},
		{name: specs.ArchARM, table: "arm", audit: unix.AUDIT_ARCH_ARM, bits: 32},
	},
}

// chosen are the architectures of a profile. The native one is always among them,
// and those that the guest cannot execute change nothing.
func chosen(names []specs.Arch, goarch string) ([]arch, error) {
	all := arches[goarch]
	if all == nil {
		return nil, fmt.Errorf("system call filters for guests of %s are not supported", goarch)
	}
	out := []arch{all[0]}
	for _, a := range all[1:] {
		if slices.Contains(names, a.name) {
			out = append(out, a)
		}
	}
	return out, nil
}

// tables hold lines of name and number. They are text and not Go maps because a map
// would be built at every start of every command.
//
//go:embed tables/*
var tables embed.FS

// numbers of the system calls by name.
func (a *arch) numbers() map[string]uint32 {
	text, err := tables.ReadFile("tables/" + a.table)
	if err != nil {
		panic(err) // it is embedded
	}
	out := make(map[string]uint32, 512)
	for line := range strings.Lines(string(text)) {
		name, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		nr, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			panic(err) // a test reads it
		}
		out[name] = uint32(nr)
	}
	return out
}
