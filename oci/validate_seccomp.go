package oci

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// What
// the specification knows (config-linux.md, "Seccomp"); whether the guest has it
// is another question.
var (
	seccompActions = []specs.LinuxSeccompAction{
		specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActErrno,
		specs.ActTrace, specs.ActAllow, specs.ActLog, specs.ActNotify,
	}
	seccompArchitectures = []specs.Arch{
		specs.ArchX86, specs.ArchX86_64, specs.ArchX32, specs.ArchARM, specs.ArchAARCH64, specs.ArchMIPS,
		specs.ArchMIPS64, specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32,
		specs.ArchPPC, specs.ArchPPC64, specs.ArchPPC64LE, specs.ArchS390, specs.ArchS390X, specs.ArchPARISC,
		specs.ArchPARISC64, specs.ArchRISCV64, specs.ArchLOONGARCH64, specs.ArchM68K, specs.ArchSH, specs.ArchSHEB,
	}
	seccompFlags = []specs.LinuxSeccompFlag{
		"SECCOMP_FILTER_FLAG_TSYNC", specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow,
		specs.LinuxSeccompFlagWaitKillableRecv,
	}
	seccompOperators = []specs.LinuxSeccompOperator{
		specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo,
		specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual,
	}
)

func checkSeccomp(l *specs.Linux) (string, string) {
	s := l.Seccomp
	if s == nil || NoSeccomp(s) {
		return "", ""
	}
	if sub, reason := checkAction(s.DefaultAction, s.DefaultErrnoRet, ".defaultAction", ".defaultErrnoRet"); reason != "" {
		return sub, reason
	}
	for i, a := range s.Architectures {
		if !slices.Contains(seccompArchitectures, a) {
			return ".architectures" + index(i, ""), fmt.Sprintf("%q is not an architecture of libseccomp", a)
		}
	}
	notify := s.DefaultAction == specs.ActNotify
	for i := range s.Syscalls {
		if sub, reason := checkSyscall(&s.Syscalls[i]); reason != "" {
			return ".syscalls" + index(i, sub), reason
		}
		notify = notify || s.Syscalls[i].Action == specs.ActNotify
	}
	for i, f := range s.Flags {
		switch {
		case !slices.Contains(seccompFlags, f):
			return ".flags" + index(i, ""), fmt.Sprintf("%q is not a flag of seccomp(2)", f)
		case f == specs.LinuxSeccompFlagWaitKillableRecv && !notify:
			return ".flags" + index(i, ""), fmt.Sprintf("%s needs an action %s", f, specs.ActNotify)
		}
	}
	if s.ListenerMetadata != "" && s.ListenerPath == "" {
		return ".listenerMetadata", "needs listenerPath"
	}
	return "", ""
}

// NoSeccomp reports whether a profile says nothing, which to runc is none.
func NoSeccomp(s *specs.LinuxSeccomp) bool { return s.DefaultAction == "" && len(s.Syscalls) == 0 }

func checkSyscall(s *specs.LinuxSyscall) (string, string) {
	if len(s.Names) == 0 {
		return ".names", "is empty"
	}
	if i := slices.Index(s.Names, ""); i >= 0 {
		return ".names" + index(i, ""), "is empty"
	}
	for i, a := range s.Args {
		switch {
		case a.Index > 5:
			return ".args" + index(i, ".index"), fmt.Sprintf("%d is not between 0 and 5", a.Index)
		case !slices.Contains(seccompOperators, a.Op):
			return ".args" + index(i, ".op"), fmt.Sprintf("%q is not an operator of libseccomp", a.Op)
		}
	}
	return checkAction(s.Action, s.ErrnoRet, ".action", ".errnoRet")
}

// maxErrno is the kernel's: a larger one is no error to the C library.
const maxErrno = 4095

func checkAction(a specs.LinuxSeccompAction, errno *uint, field, errnoField string) (string, string) {
	takes := a == specs.ActErrno || a == specs.ActTrace
	switch {
	case !slices.Contains(seccompActions, a):
		return field, fmt.Sprintf("%q is not an action of libseccomp", a)
	case errno != nil && !takes:
		return errnoField, fmt.Sprintf("is not for %s", a)
	case errno != nil && a == specs.ActErrno && *errno > maxErrno:
		return errnoField, fmt.Sprintf("%d is not between 0 and %d", *errno, maxErrno)
	case errno != nil && *errno > 1<<16-1:
		return errnoField, fmt.Sprintf("%d is not between 0 and 2^16-1", *errno)
	}
	return "", ""
}
