package oci

import (
	"errors"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestSeccomp(t *testing.T) {
	rule := func(change func(*specs.LinuxSyscall)) func(*specs.LinuxSeccomp) {
		return func(s *specs.LinuxSeccomp) { change(&s.Syscalls[1]) }
	}
	for _, tc := range []struct {
		want  string
		spoil func(*specs.LinuxSeccomp)
	}{
		{"", func(*specs.LinuxSeccomp) {}},
		{"", func(s *specs.LinuxSeccomp) { s.DefaultErrnoRet = new(uint(maxErrno)) }},
		{"", func(s *specs.LinuxSeccomp) { s.Syscalls = nil }},
		{".defaultAction: \"\" is not an action", func(s *specs.LinuxSeccomp) { s.DefaultAction = "" }},
		{".defaultErrnoRet: 4096 is not between", func(s *specs.LinuxSeccomp) { s.DefaultErrnoRet = new(uint(4096)) }},
		{".defaultErrnoRet: is not for SCMP_ACT_ALLOW", func(s *specs.LinuxSeccomp) { s.DefaultAction, s.DefaultErrnoRet = specs.ActAllow, new(uint(1)) }},
		{`.architectures[1]: "VAX" is not`, func(s *specs.LinuxSeccomp) { s.Architectures = append(s.Architectures, "VAX") }},
		{`.flags[0]: "X" is not a flag`, func(s *specs.LinuxSeccomp) { s.Flags = []specs.LinuxSeccompFlag{"X"} }},
		{".flags[0]: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs", func(s *specs.LinuxSeccomp) {
			s.Flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagWaitKillableRecv}
		}},
		{".listenerMetadata: needs listenerPath", func(s *specs.LinuxSeccomp) { s.ListenerMetadata = "x" }},
		{".syscalls[1].names: is empty", rule(func(r *specs.LinuxSyscall) { r.Names = nil })},
		{`.syscalls[1].action: "ALLOW" is not`, rule(func(r *specs.LinuxSyscall) { r.Action = "ALLOW" })},
		{".syscalls[1].errnoRet: is not for", rule(func(r *specs.LinuxSyscall) { r.ErrnoRet = new(uint(1)) })},
		{".syscalls[1].errnoRet: 65536 is not", rule(func(r *specs.LinuxSyscall) { r.Action, r.ErrnoRet = specs.ActTrace, new(uint(1<<16)) })},
		{".syscalls[1].args[0].index: 6 is not", rule(func(r *specs.LinuxSyscall) { r.Args = []specs.LinuxSeccompArg{{Index: 6}} })},
		{`.syscalls[1].args[0].op: "=" is not`, rule(func(r *specs.LinuxSyscall) { r.Args = []specs.LinuxSeccompArg{{Op: "="}} })},
	} {
		s := DefaultSpec()
		allow := specs.LinuxSyscall{Names: []string{"read"}, Action: specs.ActAllow}
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86_64},
			Syscalls: []specs.LinuxSyscall{allow, allow}}
		tc.spoil(s.Linux.Seccomp)
		err := validate(s)
		if tc.want == "" {
			if err != nil {
				t.Errorf("a valid profile: %v", err)
			}
			continue
		}
		if ce, ok := errors.AsType[*ConfigError](err); !ok || !strings.HasPrefix(ce.Error(), "linux.seccomp"+tc.want) {
			t.Errorf("got %v, want linux.seccomp%s", err, tc.want)
		}
	}
}
