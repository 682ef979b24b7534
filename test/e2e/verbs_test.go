package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/oci"
)

func TestLifecycle(t *testing.T) {
	h := newHost(t)
	dir := bundle(t, func(s *specs.Spec) { s.Annotations = map[string]string{"org.example": "a b"} })
	pidFile := filepath.Join(t.TempDir(), "pid")
	id := h.create(dir, "--pid-file", pidFile)

	v := h.state(id)
	equal(t, "ociVersion", v.OCIVersion, specs.Version)
	equal(t, "id", v.ID, id)
	equal(t, "status", v.Status, "created")
	equal(t, "bundle", v.Bundle, dir)
	equal(t, "rootfs", v.Rootfs, filepath.Join(dir, "rootfs"))
	equal(t, "owner", v.Owner, "root")
	equal(t, "annotations", v.Annotations["org.example"], "a b")
	equal(t, "kata.isolation", v.Kata.Isolation, "software")
	equal(t, "kata.sandbox", v.Kata.Sandbox, id)
	equal(t, "pid", v.PID, readPID(t, pidFile))
	for _, who := range []string{"proxy", "shim", "vmm"} {
		if _, alive := descendants()[v.Kata.PIDs[who]]; !alive {
			t.Errorf("kata.pids.%s = %d is no process of the sandbox", who, v.Kata.PIDs[who])
		}
	}
	equal(t, "pid of the shim", v.Kata.PIDs["shim"], v.PID)
	if v.Created.IsZero() {
		t.Error("created is missing")
	}

	h.must("start", id)
	h.wantStatus(id, "running")
	h.fails(1, []string{"cannot start"}, "start", id)
	h.fails(1, []string{"not stopped", "running"}, "delete", id)
	h.wantStatus(id, "running")

	h.must("kill", id, "KILL")
	h.wantStatus(id, "stopped")
	equal(t, "pid of a stopped container", h.state(id).PID, 0)
	equal(t, "exit code of the shim", waitPID(t, v.PID), 137)
	h.fails(1, []string{"not running"}, "kill", id, "KILL")
	h.fails(255, []string{"stopped"}, "exec", id, "true")
	h.fails(1, nil, "start", id)
	h.must("delete", id)
	h.fails(1, []string{"does not exist"}, "state", id)
	h.wantNothing()
}

// As with runc, a container that was made and not started has all but its command.
func TestExecBeforeStart(t *testing.T) {
	h := newHost(t)
	id := h.create(bundle(t))
	equal(t, "output", h.must("exec", id, "sh", "-c", "hostname; cat /proc/self/cgroup; ls -d /proc/1"), "kata\n0::/\n/proc/1\n")
	h.wantStatus(id, "created")
	h.must("start", id)
	equal(t, "the container's command", h.must("exec", id, "sh", "-c", "cat /proc/1/cmdline | tr '\\000' ' '"), "sleep 1000000 ")
}

func TestDeleteOfACreatedContainer(t *testing.T) {
	h := newHost(t)
	id := h.create(bundle(t))
	// runc kills a container that was never started, and removes it; the
	// specification wants an error. Both leave no half-deleted container.
	if r := h.kata("delete", id); r.code != 0 {
		h.wantStatus(id, "created")
		h.must("delete", "--force", id)
	}
	h.wantNothing()
}

func TestDeleteForce(t *testing.T) {
	h := newHost(t)
	for _, flag := range []string{"--force", "-f"} {
		id := h.start()
		h.must("delete", flag, id)
		h.wantNothing()
		h.must("delete", flag, id) // one that is gone is no error
	}
}

func TestCreateFromTheCurrentDirectory(t *testing.T) {
	h := newHost(t)
	dir := bundle(t)
	id := h.newID()
	h.deleteLater(id)
	c := h.cmd("create", id)
	c.Dir = dir
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	equal(t, "bundle", h.state(id).Bundle, dir)
}

func TestRunDetached(t *testing.T) {
	h := newHost(t)
	id, pidFile := h.newID(), filepath.Join(t.TempDir(), "pid")
	h.deleteLater(id)
	h.must("run", "--detach", "--pid-file", pidFile, "--bundle", bundle(t, script("trap 'exit 3' TERM; while :; do sleep 0.01; done")), id)
	pid := readPID(t, pidFile)
	equal(t, "pid", h.state(id).PID, pid)
	h.wantStatus(id, "running")
	eventually(t, "the trap is set", func() bool {
		h.kata("kill", id, "TERM") // an error if it has stopped since
		return h.state(id).Status == "stopped"
	})
	equal(t, "exit code of the shim", waitPID(t, pid), 3)
}

// A newer runc sends a descriptor of the process besides its number.
func TestPidfdSocket(t *testing.T) {
	h := newHost(t)
	socket, l := engineSocket(t)
	received := func() int {
		t.Helper()
		f, err := receiveFile(l)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		_, rest, _ := strings.Cut(readFile(t, fmt.Sprintf("/proc/self/fdinfo/%d", f.Fd())), "\nPid:\t")
		pid, _, _ := strings.Cut(rest, "\n")
		n, err := strconv.Atoi(pid)
		if err != nil {
			t.Errorf("what came is no pidfd: %v", err)
		}
		return n
	}
	id := h.create(bundle(t), "--pidfd-socket", socket)
	equal(t, "process", received(), h.state(id).PID)
	h.must("start", id)
	pidFile := filepath.Join(t.TempDir(), "pid")
	h.must("exec", "--detach", "--pidfd-socket", socket, "--pid-file", pidFile, id, "sleep", "1000001")
	equal(t, "process of exec", received(), readPID(t, pidFile))
	h.fails(255, []string{"--pidfd-socket", "no such file"}, "exec", "--pidfd-socket", socket+".missing", id, "true")
	other := h.newID()
	h.fails(1, []string{"--pidfd-socket", "no such file"}, "create", "--pidfd-socket", socket+".missing", "--bundle", bundle(t), other)
	h.fails(1, []string{"does not exist"}, "state", other)
}

func TestRunKeep(t *testing.T) {
	h := newHost(t)
	id := h.newID()
	h.deleteLater(id)
	if r := h.kata("run", "--keep", "--bundle", bundle(t, script("exit 4")), id); r.code != 4 {
		t.Fatalf("want exit code 4; %s", r)
	}
	h.wantStatus(id, "stopped")
	h.must("delete", id)
}

func TestList(t *testing.T) {
	h := newHost(t)
	equal(t, "list -q of nothing", h.must("list", "-q"), "")
	var none []view
	decode(t, h.must("list", "--format", "json"), &none)
	equal(t, "containers", len(none), 0)

	created, running := h.create(bundle(t)), h.start()
	equal(t, "list -q", h.must("list", "--quiet"), created+"\n"+running+"\n")
	var all []view
	decode(t, h.must("list", "-f", "json"), &all)
	want := map[string]string{created: "created", running: "running"}
	for _, v := range all {
		equal(t, "status of "+v.ID, v.Status, want[v.ID])
		equal(t, "isolation of "+v.ID, v.Kata.Isolation, "software")
	}
	equal(t, "containers", len(all), 2)

	table := strings.Split(strings.TrimSpace(h.must("list")), "\n")
	if len(table) != 3 {
		t.Fatalf("list has %d lines, want 3: %q", len(table), table)
	}
	for _, column := range []string{"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"} {
		contains(t, "the heading", table[0], column)
	}
	contains(t, "the table", table[2], running, "running", strconv.Itoa(h.state(running).PID), "software")
	h.fails(1, []string{"--format"}, "list", "--format", "xml")
}

func TestPS(t *testing.T) {
	h := newHost(t)
	id := h.start(script("sleep 1000001 & sleep 1000002; :"))
	var lines []string
	eventually(t, "ps shows three processes", func() bool {
		lines = strings.Split(strings.TrimSpace(h.must("ps", id)), "\n")
		return len(lines) == 4
	})
	contains(t, "the heading", lines[0], "UID", "PID", "PPID", "CMD")
	contains(t, "the table", strings.Join(lines, "\n"), "sleep 1000001", "sleep 1000002", "sh -c")
	// Engines look for these among the host's processes.
	standins := func() []int {
		var pids []int
		decode(t, h.must("ps", "--format", "json", id), &pids)
		for _, pid := range pids {
			if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err != nil || !strings.Contains(string(line), "kata-shim") {
				t.Errorf("process %d of the host is not the container's: %q, %v", pid, line, err)
			}
		}
		return pids
	}
	equal(t, "processes of the host", fmt.Sprint(standins()), fmt.Sprint([]int{h.state(id).PID}))
	h.must("exec", "--detach", id, "sleep", "1000003")
	eventually(t, "the one of exec is there too", func() bool { return len(standins()) == 2 })
	h.fails(1, []string{"--format"}, "ps", "--format", "xml", id)
}

func TestKill(t *testing.T) {
	h := newHost(t)
	catch := "for s in HUP USR1 TERM; do trap \"echo $s\" $s; done; echo ready; while :; do sleep 0.01; done"
	for _, tc := range []struct{ arg, want string }{{"HUP", "HUP"}, {"SIGUSR1", "USR1"}, {"usr1", "USR1"}, {"1", "HUP"}, {"", "TERM"}} {
		t.Run("signal "+tc.arg, func(t *testing.T) {
			id, out := h.startTo(t, bundle(t, script(catch)))
			eventually(t, "the traps are set", func() bool { return readFile(t, out) == "ready\n" })
			kill := []string{"kill", id}
			if tc.arg != "" {
				kill = append(kill, tc.arg)
			}
			h.must(kill...)
			eventually(t, "the signal has come", func() bool { return readFile(t, out) == "ready\n"+tc.want+"\n" })
			h.must("kill", id, "9")
			h.wantStatus(id, "stopped")
		})
	}
}

// startTo makes a container and starts it; its standard output goes to the file.
func (h *host) startTo(t *testing.T, dir string) (id, file string) {
	t.Helper()
	id = h.newID()
	h.deleteLater(id)
	out := tempFile(t)
	defer out.Close()
	c := h.cmd("run", "--detach", "--bundle", dir, id)
	c.Stdout = out
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	return id, out.Name()
}

func TestKillAll(t *testing.T) {
	h := newHost(t)
	id := h.start(script("sleep 1000001 & sleep 1000002; :"))
	eventually(t, "all processes run", func() bool { return strings.Count(h.must("ps", id), "\n") == 4 })
	h.must("kill", "--all", id, "KILL")
	h.eventuallyStatus(id, "stopped")
	h.must("delete", id)
}

func TestKillRefusesSignalsThatAreNone(t *testing.T) {
	h := newHost(t)
	id := h.create(bundle(t))
	for _, sig := range []string{"65", "-1", "NOSUCH", "SIG"} {
		h.fails(1, []string{"signal"}, "kill", "--", id, sig)
	}
	h.wantStatus(id, "created")
}

func TestKillOfACreatedContainer(t *testing.T) {
	h := newHost(t)
	id := h.create(bundle(t))
	pid := h.state(id).PID
	h.must("kill", id, "KILL")
	h.wantStatus(id, "stopped")
	equal(t, "exit code of the shim", waitPID(t, pid), 137)
	h.must("delete", id)
}

func TestSpec(t *testing.T) {
	h := newHost(t)
	dir := t.TempDir()
	h.must("spec", "--bundle", dir)
	if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := oci.Load(dir); err != nil {
		t.Errorf("what spec writes is not valid: %v", err)
	}
	h.fails(1, []string{"exists"}, "spec", "--bundle", dir)
	h.fails(1, []string{"no such file"}, "spec", "--bundle", filepath.Join(dir, "missing"))
}

func TestFeatures(t *testing.T) {
	h := newHost(t)
	var f struct {
		OCIVersionMin, OCIVersionMax string
		Linux                        struct{ Namespaces, Capabilities []string }
		Annotations                  map[string]string
	}
	decode(t, h.must("features"), &f)
	equal(t, "ociVersionMax", f.OCIVersionMax, specs.Version)
	contains(t, "linux.namespaces", strings.Join(f.Linux.Namespaces, " "), "pid", "mount", "network")
	contains(t, "annotations", f.Annotations[oci.IsolationAnnotation], "hardware", "software")
}

func TestHelpAndVersion(t *testing.T) {
	h := newHost(t)
	contains(t, "--version", h.must("--version"), "kata-runtime version", "spec: "+specs.Version)
	contains(t, "--help", h.must("--help"), "create", "delete", "--root")
	contains(t, "create --help", h.must("create", "--help"), "Usage: kata-runtime create")
	h.fails(3, []string{"no command", "frobnicate"}, "frobnicate")
	h.fails(3, []string{"no command", "frobnicate"}, "help", "frobnicate")
	equal(t, "help create", h.must("help", "create"), h.must("create", "--help"))
	equal(t, "help", h.must("h"), h.must("--help"))
	h.fails(1, []string{"nosuchflag"}, "--nosuchflag", "list")
	h.fails(1, []string{"nosuchflag"}, "list", "--nosuchflag")
	h.must("--systemd-cgroup", "--rootless", "auto", "list")
}
