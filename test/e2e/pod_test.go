package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// sharing gives a container namespaces of another, as engines do: by the paths below
// /proc of the pid that they know.
func sharing(pid int, kinds ...specs.LinuxNamespaceType) edit {
	files := map[specs.LinuxNamespaceType]string{specs.NetworkNamespace: "net", specs.IPCNamespace: "ipc", specs.UTSNamespace: "uts", specs.PIDNamespace: "pid", specs.UserNamespace: "user"}
	return func(s *specs.Spec) {
		for _, kind := range kinds {
			for i := range s.Linux.Namespaces {
				if s.Linux.Namespaces[i].Type == kind {
					s.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/%s", pid, files[kind])
				}
			}
		}
	}
}

var allShared = []specs.LinuxNamespaceType{specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.PIDNamespace}

func hostname(name string) edit { return func(s *specs.Spec) { s.Hostname = name } }

func TestSharedNamespaces(t *testing.T) {
	h := newHost(t)
	first := h.start(hostname("first"))
	pid := h.state(first).PID
	second := h.start(hostname("second"), sharing(pid, allShared...), capabilities("CAP_SYS_ADMIN", "CAP_KILL"))
	v := h.state(second)
	equal(t, "sandbox", v.Kata.Sandbox, first)
	equal(t, "owner of both", v.Kata.PIDs["proxy"], h.state(first).Kata.PIDs["proxy"])
	equal(t, "name", h.must("exec", second, "hostname"), "first\n")
	h.must("exec", second, "hostname", "changed")
	equal(t, "name in the other", h.must("exec", first, "hostname"), "changed\n")
	equal(t, "pid namespace", h.must("exec", second, "readlink", "/proc/self/ns/pid"), h.must("exec", first, "readlink", "/proc/self/ns/pid"))
	equal(t, "processes", strings.Count(h.must("exec", second, "ps"), "sleep 1000000"), 2)
	ipc := func(id string) string { return h.must("exec", id, "readlink", "/proc/self/ns/ipc") }
	equal(t, "ipc namespace", ipc(second), ipc(first))
	h.must("exec", first, "touch", "/dev/mqueue/queue")
	equal(t, "message queues", h.must("exec", second, "ls", "/dev/mqueue"), "queue\n")
	// localhost is one.
	h.must("exec", "--detach", first, "sh", "-c", "while :; do echo over tcp | nc -l -p 4000; done")
	equal(t, "TCP", h.must("exec", second, "sh", "-c", "until sleep 1 | nc 127.0.0.1 4000 2>/dev/null | grep tcp; do :; done"), "over tcp\n")
	// Their files are their own.
	h.must("exec", second, "touch", "/tmp/mine")
	equal(t, "files of the other", h.must("exec", first, "ls", "/tmp"), "")
}

func TestUnsharedNamespaces(t *testing.T) {
	h := newHost(t)
	first := h.start(hostname("first"))
	second := h.start(hostname("second"), sharing(h.state(first).PID, specs.NetworkNamespace))
	equal(t, "name", h.must("exec", second, "hostname"), "second\n")
	for _, ns := range []string{"pid", "ipc", "uts", "mnt"} {
		if link := h.must("exec", first, "readlink", "/proc/1/ns/"+ns); link == h.must("exec", second, "readlink", "/proc/1/ns/"+ns) {
			t.Errorf("both are in %s", link)
		}
	}
	equal(t, "processes", strings.Count(h.must("exec", second, "ps"), "sleep 1000000"), 1)
	// A third may name what they share by the second.
	third := h.start(sharing(h.state(second).PID, specs.NetworkNamespace, specs.UTSNamespace))
	equal(t, "name", h.must("exec", third, "hostname"), "second\n")
	equal(t, "sandbox", h.state(third).Kata.Sandbox, first)
}

// Any of them may go first; the rest go on, and nothing is left when all are gone.
func TestContainersOfASandboxEndInAnyOrder(t *testing.T) {
	h := newHost(t)
	volume := t.TempDir()
	use := mounts(bind(volume, "/volume"))
	first := h.start(use)
	pid := h.state(first).PID
	var rest [3]string
	for i := range rest {
		rest[i] = h.start(use, sharing(pid, specs.NetworkNamespace, specs.IPCNamespace))
	}
	works := func(ids ...string) {
		t.Helper()
		for _, id := range ids {
			h.wantStatus(id, "running")
			h.must("exec", id, "sh", "-c", "echo "+id+" > /volume/"+id)
			equal(t, "file of "+id, readFile(t, filepath.Join(volume, id)), id+"\n")
		}
	}
	works(first, rest[0], rest[1], rest[2])
	h.must("kill", rest[0], "KILL")
	h.wantStatus(rest[0], "stopped")
	works(first, rest[1], rest[2])
	h.must("delete", rest[0])
	works(first, rest[1], rest[2])
	h.must("delete", "--force", first) // that the sandbox was made with
	works(rest[1], rest[2])
	late := h.start(use, sharing(h.state(rest[1]).PID, specs.NetworkNamespace))
	works(rest[1], rest[2], late)
	h.must("delete", "--force", rest[1])
	h.must("delete", "--force", rest[2])
	works(late)
}

// The end of a pid namespace's first process is the end of all in it.
func TestSharedPidNamespaceEnds(t *testing.T) {
	h := newHost(t)
	first := h.start()
	pid := h.state(first).PID
	second := h.start(sharing(pid, specs.NetworkNamespace, specs.PIDNamespace))
	third := h.start(sharing(pid, specs.NetworkNamespace))
	h.must("kill", first, "KILL")
	h.eventuallyStatus(second, "stopped")
	h.wantStatus(third, "running")
	equal(t, "exit code", waitPID(t, pid), 137)
}

func TestSandboxKilled(t *testing.T) {
	for _, name := range []string{"proxy", "vmm"} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			first := h.start()
			v := h.state(first)
			second := h.start(sharing(v.PID, specs.NetworkNamespace))
			other := h.state(second)
			kill(t, v.Kata.PIDs[name])
			equal(t, "exit code of the second", waitPID(t, other.PID), 137)
			h.eventuallyStatus(first, "stopped")
			h.eventuallyStatus(second, "stopped")
			h.must("delete", second)
			h.must("delete", first)
		})
	}
}

// The end of a shim is the end of its container only.
func TestShimOfASandboxKilled(t *testing.T) {
	h := newHost(t)
	first := h.start()
	second := h.start(sharing(h.state(first).PID, specs.NetworkNamespace))
	kill(t, h.state(second).PID)
	h.eventuallyStatus(second, "stopped")
	h.wantStatus(first, "running")
}

func TestFailedJoinLeavesTheSandboxAlone(t *testing.T) {
	h := newHost(t)
	first := h.start()
	pid := h.state(first).PID
	refused := func(code int, want []string, bundle string) {
		t.Helper()
		id := h.newID()
		r := h.kata("create", "--bundle", bundle, id)
		equal(t, "exit code", r.code, code)
		contains(t, "error", r.stderr, want...)
		if _, err := os.Stat(filepath.Join(h.root, id)); err == nil {
			t.Errorf("the state of a container that was not made is left; %s", r)
		}
	}
	join := sharing(pid, specs.NetworkNamespace)
	refused(1, []string{"no/such/source"}, bundle(t, join, mounts(bind("/no/such/source", "/mnt"))))
	refused(127, []string{"no-such-command"}, bundle(t, join, args("no-such-command")))
	refused(1, []string{"linux.namespaces", "shares the network of its sandbox"}, bundle(t, sharing(pid, specs.IPCNamespace)))
	refused(1, []string{"prestart hook", "reason"}, bundle(t, join, func(s *specs.Spec) {
		//lint:ignore SA1019 Docker still writes prestart
		s.Hooks = &specs.Hooks{Prestart: fail("reason")}
	}))
	alone := h.start()
	refused(1, []string{"linux.namespaces", "a container has one sandbox"}, bundle(t, join, sharing(h.state(alone).PID, specs.IPCNamespace)))
	for kind, file := range map[specs.LinuxNamespaceType]string{specs.PIDNamespace: "pid", specs.NetworkNamespace: "net", specs.IPCNamespace: "ipc"} {
		refused(1, []string{"linux.namespaces", "/proc/self/ns/" + file, "namespace of the host"}, bundle(t, func(s *specs.Spec) {
			sharing(os.Getpid(), kind)(s)
			for i := range s.Linux.Namespaces {
				if s.Linux.Namespaces[i].Path != "" {
					s.Linux.Namespaces[i].Path = "/proc/self/ns/" + file
				}
			}
		}))
	}
	equal(t, "first", h.must("exec", first, "echo", "works"), "works\n")
}

// Kubernetes' runtimes say by annotations which sandbox a container is for.
func TestAnnotatedSandbox(t *testing.T) {
	h := newHost(t)
	first := h.start()
	second := h.start(func(s *specs.Spec) {
		s.Annotations = map[string]string{"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": first}
	})
	equal(t, "sandbox", h.state(second).Kata.Sandbox, first)
}

// On the host a machine may have as much of the CPUs as its containers together.
func TestHostCPUOfAPod(t *testing.T) {
	h := newHost(t)
	cpu := func(quota int64) edit {
		return resources(specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: &quota, Period: new(uint64(50000))}})
	}
	first := h.start(cpu(25000))
	quota := func(want ...string) {
		t.Helper()
		if got := h.hostFile(first, "cpu.max", "cpu.cfs_quota_us"); !slices.Contains(want, got) {
			t.Errorf("the host's CPU quota is %s, want %v", got, want)
		}
	}
	quota("25000 50000", "25000")
	join := func(edits ...edit) string {
		return h.start(append(edits, sharing(h.state(first).PID, specs.NetworkNamespace))...)
	}
	second := join(cpu(12500))
	quota("75000 100000", "75000")
	third := join()
	quota("max 100000", "-1")
	h.must("delete", "--force", third)
	quota("75000 100000", "75000")
	h.must("update", "--cpu-quota", "25000", second)
	quota("100000 100000", "100000")
	h.must("delete", "--force", second)
	quota("25000 50000", "25000")
}
