package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func filter(def specs.LinuxSeccompAction, rules ...specs.LinuxSyscall) edit {
	return func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: def, Syscalls: rules} }
}

func newPrivileges(s *specs.Spec) { s.Process.NoNewPrivileges = false }

// deny is an action for the calls that make a directory.
func deny(action specs.LinuxSeccompAction, errno *uint, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: []string{"mkdir", "mkdirat"}, Action: action, ErrnoRet: errno, Args: args}
}

func TestSeccomp(t *testing.T) {
	full := uint(unix.ENOSPC)
	const script = "mkdir /tmp/d 2>&1; grep -c '^Seccomp:.*2' /proc/self/status"
	const denied = "mkdir: can't create directory '/tmp/d': "
	user := func(s *specs.Spec) { s.Process.User = specs.User{UID: 1000, GID: 1000} }
	for _, tc := range []struct {
		name, want string
		edits      []edit
	}{
		{"errno", denied + "No space left on device\n1", []edit{filter(specs.ActAllow, deny(specs.ActErrno, &full))}},
		{"default errno", denied + "Operation not permitted\n1", []edit{filter(specs.ActAllow, deny(specs.ActErrno, nil))}},
		{"new privileges", denied + "No space left on device\n1", []edit{filter(specs.ActAllow, deny(specs.ActErrno, &full)), newPrivileges}},
		{"user", denied + "No space left on device\n1", []edit{filter(specs.ActAllow, deny(specs.ActErrno, &full)), newPrivileges, user}},
		{"condition", "1", []edit{filter(specs.ActAllow, deny(specs.ActErrno, &full, specs.LinuxSeccompArg{Index: 1, Value: 0o700, Op: specs.OpEqualTo}))}},
		{"condition that holds", denied + "No space left on device\n1",
			[]edit{filter(specs.ActAllow, deny(specs.ActErrno, &full, specs.LinuxSeccompArg{Index: 1, Value: 0o700, Op: specs.OpGreaterThan}))}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			equal(t, "output", newHost(t).runScript(script, tc.edits...), tc.want)
		})
	}
	h := newHost(t)
	for _, action := range []specs.LinuxSeccompAction{specs.ActKill, specs.ActKillProcess, specs.ActTrap} {
		r := h.kata("run", "--bundle", bundle(t, args("mkdir", "/tmp/d"), filter(specs.ActAllow, deny(action, nil))), h.newID())
		equal(t, "exit code after "+string(action), r.code, 128+int(unix.SIGSYS))
	}
}

// The filter is for every process of the container.
func TestSeccompOfExec(t *testing.T) {
	h := newHost(t)
	id := h.start(filter(specs.ActAllow, deny(specs.ActKill, nil)), newPrivileges)
	r := h.kata("exec", id, "mkdir", "/tmp/d")
	equal(t, "exit code", r.code, 128+int(unix.SIGSYS))
	equal(t, "another command", h.must("exec", id, "echo", "well"), "well\n")
}

// A filter that forbids even to fail must not hold up anybody.
func TestSeccompThatForbidsEverything(t *testing.T) {
	h := newHost(t)
	none := specs.LinuxSyscall{Names: []string{"umask"}, Action: specs.ActAllow}
	h.refused(1, []string{"exec /bin/true", "operation not permitted"}, "run", bundle(t, args("true"), filter(specs.ActErrno, none)))
}

// An engine's default profile lets ordinary programs work, and nothing else.
func TestSeccompProfileOfAnEngine(t *testing.T) {
	raw, err := os.ReadFile("../../sandbox/seccomp/testdata/podman.json")
	if err != nil {
		t.Fatal(err)
	}
	profile := func(s *specs.Spec) {
		s.Linux.Seccomp = &specs.LinuxSeccomp{}
		if err := json.Unmarshal(raw, s.Linux.Seccomp); err != nil {
			t.Fatal(err)
		}
	}
	got := newHost(t).runScript("mkdir /tmp/d && echo a | tr a b; ls /proc/self/fd | wc -l; unshare -m true 2>&1; swapoff /x 2>&1; :",
		profile, newPrivileges, capabilities("CAP_SYS_ADMIN"))
	if !strings.HasPrefix(got, "b\n4\n") {
		t.Errorf("ordinary programs do not work: %q", got)
	}
	contains(t, "what is denied", got, "swapoff", "Operation not permitted")
}

func TestProcessAttributes(t *testing.T) {
	for _, tc := range []struct {
		name, script, want string
		edit               edit
	}{
		{"scheduler", "cut -d' ' -f19,40,41 /proc/self/stat", "5 0 3", func(s *specs.Spec) {
			s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 5}
		}},
		{"real-time scheduler", "cut -d' ' -f40,41 /proc/self/stat", "7 1", func(s *specs.Spec) {
			s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedFIFO, Priority: 7}
		}},
		{"I/O priority", "ionice -p $$", "best-effort: prio 3", func(s *specs.Spec) {
			s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 3}
		}},
		{"idle I/O", "ionice -p $$", "idle", func(s *specs.Spec) {
			s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE}
		}},
		{"personality", "cat /proc/self/personality", "00000008", func(s *specs.Spec) {
			s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
		}},
		{"personality of Linux", "cat /proc/self/personality", "00000000", func(s *specs.Spec) {
			s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			equal(t, "output", newHost(t).runScript(tc.script, tc.edit), tc.want)
		})
	}
	h := newHost(t)
	h.refused(1, []string{"process.apparmorProfile", "AppArmor"}, "create", bundle(t, func(s *specs.Spec) { s.Process.ApparmorProfile = "p" }))
	h.refused(1, []string{"process.selinuxLabel", "SELinux"}, "create", bundle(t, func(s *specs.Spec) { s.Process.SelinuxLabel = "l" }))
	h.refused(1, []string{"linux.seccomp.listenerPath", "virtual machine"}, "create", bundle(t, filter(specs.ActAllow), func(s *specs.Spec) { s.Linux.Seccomp.ListenerPath = "/run/x" }))
}
