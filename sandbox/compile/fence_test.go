package compile

import (
	"bytes"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/agent/api"
)

func TestFence(t *testing.T) {
	r := compiled(t, func(s *specs.Spec) {
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{}}
		s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	}).Request
	if len(r.Seccomp.Program) == 0 || len(r.Seccomp.Program)%8 != 0 || r.Seccomp.Flags != 0 || r.Personality != 8 {
		t.Errorf("filter of %d bytes with flags %#x, personality %d", len(r.Seccomp.Program), r.Seccomp.Flags, r.Personality)
	}
	if none := compiled(t, nil).Request; len(none.Seccomp.Program) != 0 || none.Personality != 0 {
		t.Errorf("unasked: %+v, %d", none.Seccomp, none.Personality)
	}
}

func TestAttributes(t *testing.T) {
	p := &specs.Process{
		Scheduler: &specs.Scheduler{Policy: specs.SchedDeadline, Nice: -3, Runtime: 1, Deadline: 2, Period: 3,
			Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork, specs.SchedFlagDLOverrun}},
		IOPriority:      &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 5},
		ExecCPUAffinity: &specs.CPUAffinity{Initial: "0", Final: "1,3-4,64"},
	}
	got, err := Exec(p)
	if err != nil {
		t.Fatal(err)
	}
	if want := (api.Scheduler{Policy: 6, Flags: 5, Nice: -3, Runtime: 1, Deadline: 2, Period: 3}); *got.Scheduler != want {
		t.Errorf("scheduler %+v, want %+v", *got.Scheduler, want)
	}
	if got.IOPriority != 2<<13|5 {
		t.Errorf("I/O priority %#x", got.IOPriority)
	}
	if want := []byte{0b11010, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}; !bytes.Equal(got.CPUAffinity, want) {
		t.Errorf("affinity %v, want %v", got.CPUAffinity, want)
	}
	p.ExecCPUAffinity.Final = ""
	if got, err = Exec(p); err != nil || !bytes.Equal(got.CPUAffinity, []byte{1, 0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("initial affinity alone: %v, %v", got.CPUAffinity, err)
	}
	if first, err := Process(p); err != nil || first.CPUAffinity != nil {
		t.Errorf("the first process got an affinity that is for exec: %v, %v", first.CPUAffinity, err)
	}
}
