package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestExec(t *testing.T) {
	h := newHost(t)
	id := h.start(func(s *specs.Spec) { s.Process.Env = append(s.Process.Env, "FROM=container") })
	for _, tc := range []struct {
		name, flags, script, want string
		code                      int
	}{
		{"exit code", "", "exit 9", "", 9},
		{"environment of the container", "", "echo $FROM", "container\n", 0},
		{"environment", "--env A=1 -e FROM=exec", "echo $A $FROM", "1 exec\n", 0},
		{"user", "--user 1000", "id -u; id -g", "1000\n0\n", 0},
		{"user and group", "-u 1000:1001", "id -u; id -g", "1000\n1001\n", 0},
		{"groups", "--user 1000:1001 --additional-gids 7 -g 8", "id -G", "1001 7 8\n", 0},
		{"cwd", "--cwd /etc", "pwd", "/etc\n", 0},
		{"capability", "--cap CAP_SYS_TIME", "grep CapEff /proc/self/status", "CapEff:\t0000000022000420\n", 0},
		{"namespaces", "", "cat /proc/1/cmdline | tr '\\000' ' '", "sleep 1000000 ", 0},
		{"hostname", "", "hostname", "kata\n", 0},
		{"cgroup", "", "cat /proc/self/cgroup", "0::/\n", 0},
		{"killed", "", "kill -KILL $$", "", 137},
		{"terminated", "", "kill -TERM $$", "", 143},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := h.kata(append(append([]string{"exec"}, strings.Fields(tc.flags)...), id, "sh", "-c", tc.script)...)
			if r.code != tc.code || r.stdout != tc.want || r.stderr != "" {
				t.Errorf("want exit code %d and %q; %s", tc.code, tc.want, r)
			}
		})
	}
	h.wantStatus(id, "running")
}

func TestExecInput(t *testing.T) {
	h := newHost(t)
	id := h.start()
	in := strings.Repeat("0123456789abcdef", 1<<14)
	r := h.kataInput(strings.NewReader(in), "exec", id, "sh", "-c", "cat; echo err >&2; exit 3")
	equal(t, "exit code", r.code, 3)
	equal(t, "stderr", r.stderr, "err\n")
	if r.stdout != in {
		t.Errorf("%d bytes came back of %d, or others", len(r.stdout), len(in))
	}
}

func TestExecProcessFile(t *testing.T) {
	h := newHost(t)
	id := h.start()
	p := specs.Process{Args: []string{"sh", "-c", "echo $X; id -u; pwd; exit 8"}, Cwd: "/tmp",
		Env: []string{"PATH=/bin", "X=file"}, User: specs.User{UID: 1000}}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "process.json")
	writeFile(t, file, string(b))
	for _, flag := range []string{"--process", "-p"} {
		r := h.kata("exec", flag, file, id)
		equal(t, "exit code", r.code, 8)
		equal(t, "output", r.stdout, "file\n1000\n/tmp\n")
	}
	writeFile(t, file, "{")
	h.fails(255, nil, "exec", "--process", file, id)
	h.fails(255, []string{"no such file"}, "exec", "--process", file+".missing", id)
}

func TestExecDetached(t *testing.T) {
	h := newHost(t)
	dir := bundle(t)
	id := h.create(dir)
	h.must("start", id)
	pidFile := filepath.Join(t.TempDir(), "pid")
	h.must("exec", "--detach", "--pid-file", pidFile, id, "sh", "-c", "echo done > /tmp/out; exit 12")
	equal(t, "exit code of its shim", waitPID(t, readPID(t, pidFile)), 12)
	equal(t, "file", h.must("exec", id, "cat", "/tmp/out"), "done\n")
	h.must("exec", "-d", id, "sleep", "1000000") // ends with the container
	eventually(t, "it runs", func() bool { return strings.Count(h.must("ps", id), "sleep 1000000") == 2 })
}

func TestExecIsKilledWithItsCommand(t *testing.T) {
	h := newHost(t)
	id := h.start()
	pidFile := filepath.Join(t.TempDir(), "pid")
	c := h.cmd("exec", "--pid-file", pidFile, id, "sleep", "1000001")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the command is attached to the process", func() bool {
		_, err := os.Stat(pidFile)
		return err == nil
	})
	running := func() bool { return strings.Contains(h.must("ps", id), "sleep 1000001") }
	eventually(t, "the process runs", running)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	eventually(t, "the process is gone", func() bool { return !running() })
	h.wantStatus(id, "running")
}

func TestManyExecs(t *testing.T) {
	h := newHost(t)
	id := h.start()
	const n = 16
	codes := make(chan result, n)
	for i := range n {
		go func() { codes <- h.kata("exec", id, "sh", "-c", fmt.Sprintf("echo %d; exit %d", i, i)) }()
	}
	seen := map[int]bool{}
	for range n {
		r := <-codes
		seen[r.code] = true
		equal(t, "output", r.stdout, fmt.Sprintf("%d\n", r.code))
	}
	equal(t, "exit codes", len(seen), n)
	equal(t, "processes", strings.Count(h.must("ps", id), "\n"), 2)
}

func TestExecRefusals(t *testing.T) {
	h := newHost(t)
	id := h.start()
	for _, tc := range []struct {
		name string
		code int
		want string
		args []string
	}{
		{"command not found", 127, "not found", []string{id, "nosuchcommand"}},
		{"path not found", 127, "/no/such", []string{id, "/no/such"}},
		{"not executable", 126, "permission denied", []string{id, "/etc/passwd"}},
		{"directory", 126, "permission denied", []string{id, "/etc"}},
		{"no command", 255, "args", []string{id}},
		{"no container", 1, "container id", nil},
		{"user by name", 255, "--user", []string{"--user", "user", id, "true"}},
		{"cwd not absolute", 255, "cwd", []string{"--cwd", "tmp", id, "true"}},
		{"unknown capability", 255, "CAP_NONE", []string{"--cap", "CAP_NONE", id, "true"}},
		{"terminal without a socket", 255, "--console-socket", []string{"--tty", "--detach", id, "sh"}},
		{"terminal without a terminal", 255, "not a terminal", []string{"--tty", id, "sh"}},
		{"descriptor that is not open", 255, "--preserve-fds 9", []string{"--preserve-fds", "9", id, "true"}},
		{"too many descriptors", 255, "more than 32", []string{"--preserve-fds", "33", id, "true"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h.fails(tc.code, []string{tc.want}, append([]string{"exec"}, tc.args...)...)
		})
	}
	equal(t, "processes", strings.Count(h.must("ps", id), "\n"), 2)
}

// A container that may make cgroups can have processes put into them.
func TestExecCgroup(t *testing.T) {
	h := newHost(t)
	id := h.start(func(s *specs.Spec) {
		for i, m := range s.Mounts {
			if m.Type == "cgroup" {
				s.Mounts[i].Options = []string{"nosuid", "noexec", "nodev"}
			}
		}
	})
	h.must("exec", id, "mkdir", "-p", "/sys/fs/cgroup/sub/inner")
	for arg, want := range map[string]string{"sub": "/sub", "/sub/inner": "/sub/inner", "/": "/"} {
		equal(t, arg, h.must("exec", "--cgroup", arg, id, "cat", "/proc/self/cgroup"), "0::"+want+"\n")
	}
	for arg, want := range map[string]string{"none": "no such file", "../x": "not below", "sub/../../x": "not below", "cpu:sub": "leave the controller cpu out"} {
		h.fails(255, []string{want}, "exec", "--cgroup", arg, id, "true")
	}
	h.fails(255, []string{"one is enough"}, "exec", "--cgroup", "sub", "--cgroup", "/", id, "true")

	// They belong to the container, whose processes all are.
	h.must("exec", "--detach", "--cgroup", "sub/inner", id, "sh", "-c", "trap 'exit 5' USR1; while :; do sleep 0.01; done")
	eventually(t, "it runs", func() bool { return strings.Contains(h.must("ps", id), "trap") })
	eventually(t, "a signal for all reaches it", func() bool {
		h.must("kill", "--all", id, "USR1")
		return !strings.Contains(h.must("ps", id), "trap")
	})
}
