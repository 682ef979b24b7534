package e2e

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestProcess(t *testing.T) {
	const status = "grep -E '^%s:' /proc/self/status | tr -s '\\t ' ' '"
	user := func(u specs.User) edit { return func(s *specs.Spec) { s.Process.User = u } }
	umask := uint32(0o027)
	for _, tc := range []struct {
		name, script, want string
		edit               edit
	}{
		{"pid", "echo $$", "1", nil},
		{"processes", "ls -d /proc/[0-9]* | sort | head -1", "/proc/1", nil},
		{"hostname", "hostname", "elsewhere", func(s *specs.Spec) { s.Hostname = "elsewhere" }},
		{"domain name", "cat /proc/sys/kernel/domainname", "example.org", func(s *specs.Spec) { s.Domainname = "example.org" }},
		{"environment", "echo $A/$B", "1/x y", func(s *specs.Spec) { s.Process.Env = append(s.Process.Env, "A=1", "B=x y") }},
		{"nothing of the host's environment", "env | grep -v -e ^PATH= -e ^TERM= -e ^PWD= -e ^SHLVL= -e ^HOME= -e ^OLDPWD=; :", "", nil},
		{"cwd", "pwd", "/tmp", func(s *specs.Spec) { s.Process.Cwd = "/tmp" }},
		{"cwd that is missing", "pwd", "/new/dir", func(s *specs.Spec) { s.Process.Cwd = "/new/dir" }},
		{"user", "id -u; id -g", "1000\n1001", user(specs.User{UID: 1000, GID: 1001})},
		{"groups", "id -G", "1001 7 8", user(specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{7, 8}})},
		{"umask", "umask", "0027", user(specs.User{Umask: &umask})},
		{"no_new_privs", fmt.Sprintf(status, "NoNewPrivs"), "NoNewPrivs: 1", nil},
		{"new privileges", fmt.Sprintf(status, "NoNewPrivs"), "NoNewPrivs: 0", func(s *specs.Spec) { s.Process.NoNewPrivileges = false }},
		{"capabilities", fmt.Sprintf(status, "Cap(Prm|Eff|Bnd)"), "CapPrm: 0000000000000421\nCapEff: 0000000000000421\nCapBnd: 0000000000000421",
			capabilities("CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE")},
		{"no capabilities", fmt.Sprintf(status, "Cap(Inh|Prm|Eff|Bnd|Amb)"),
			"CapInh: 0000000000000000\nCapPrm: 0000000000000000\nCapEff: 0000000000000000\nCapBnd: 0000000000000000\nCapAmb: 0000000000000000",
			func(s *specs.Spec) { s.Process.Capabilities = nil }},
		{"ambient capabilities", fmt.Sprintf(status, "Cap(Eff|Amb)"), "CapEff: 0000000000000020\nCapAmb: 0000000000000020", func(s *specs.Spec) {
			kill := []string{"CAP_KILL"}
			s.Process.User.UID = 1000
			s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: kill, Effective: kill, Permitted: kill, Inheritable: kill, Ambient: kill}
		}},
		{"rlimits", "ulimit -Sn; ulimit -Hn; ulimit -Sc", "100\n200\n0", func(s *specs.Spec) {
			s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 200}, {Type: "RLIMIT_CORE"}}
		}},
		{"oom_score_adj", "cat /proc/self/oom_score_adj", "321", func(s *specs.Spec) { n := 321; s.Process.OOMScoreAdj = &n }},
		{"sysctl", "cat /proc/sys/kernel/shm_rmid_forced", "1", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"kernel.shm_rmid_forced": "1"} }},
		{"descriptors", "exec ls /proc/self/fd", "0\n1\n2\n3", nil}, // 3 is ls' own
		{"signals", fmt.Sprintf(status, "Sig(Blk|Ign)"), "SigBlk: 0000000000000000\nSigIgn: 0000000000000000", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := tc.edit
			if e == nil {
				e = func(*specs.Spec) {}
			}
			equal(t, "output", newHost(t).runScript(tc.script, e), tc.want)
		})
	}
}

// The agent's timers may be late, those of containers may not.
func TestTimersAreExact(t *testing.T) {
	h := newHost(t)
	id := h.start()
	const read = "cat /proc/self/timerslack_ns"
	equal(t, "timer slack of a process", h.must("exec", id, "sh", "-c", read), "50000\n")
	equal(t, "timer slack of a container", h.must("run", "--bundle", bundle(t, script(read)), h.newID()), "50000\n")
}

func TestKernelIsTheGuests(t *testing.T) {
	h := newHost(t)
	host, err := exec.Command("uname", "-r", "-v").Output()
	if err != nil {
		t.Fatal(err)
	}
	guest := h.runScript("uname -r -v")
	if guest == strings.TrimSpace(string(host)) {
		t.Errorf("the container sees the host's kernel: %s", guest)
	}
	id := h.start()
	equal(t, "kernel in state", h.state(id).Kata.Kernel, strings.Fields(guest)[0])
}

func TestCgroupLimits(t *testing.T) {
	h := newHost(t)
	memory, pids := int64(100<<20), int64(33)
	got := h.runScript("cd /sys/fs/cgroup; cat memory.max pids.max; cat /proc/self/cgroup", func(s *specs.Spec) {
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &memory}
		s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &pids}
	})
	equal(t, "limits", got, fmt.Sprintf("%d\n%d\n0::/", memory, pids))
}

func TestPidsLimitHolds(t *testing.T) {
	h := newHost(t)
	pids := int64(5)
	r := h.run(2, bundle(t, script("for i in 1 2 3 4 5 6 7; do sleep 1000000 & done"), func(s *specs.Spec) {
		s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &pids}
	}))
	contains(t, "stderr", r.stderr, "fork")
}

func TestMemoryLimitHolds(t *testing.T) {
	h := newHost(t)
	memory := int64(32 << 20)
	r := h.kata("run", "--bundle", bundle(t, args("dd", "if=/dev/zero", "of=/dev/null", "bs=48M", "count=1"), func(s *specs.Spec) {
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &memory}
	}), h.newID())
	equal(t, "exit code", r.code, 137)
	contains(t, "stderr", r.stderr, "out of memory")
}

// Without a pid namespace of its own, a container leaves its orphans to the guest's
// first process.
func TestOrphansAreReaped(t *testing.T) {
	h := newHost(t)
	without := func(s *specs.Spec) {
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.PIDNamespace })
	}
	id := h.start(without)
	h.must("exec", id, "sh", "-c", "for i in 1 2 3; do sh -c 'sleep 0.01 & exit'; done")
	eventually(t, "no process is left, dead or alive", func() bool {
		return h.must("exec", id, "sh", "-c", "ps -o stat,args | grep -c -e '^Z' -e '[s]leep 0.01'; :") == "0\n"
	})
}
