package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// say is a hook that appends its name and its state to a file.
func say(name, file string) []specs.Hook {
	return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", fmt.Sprintf(`(printf '%s '; cat; echo) >> %s`, name, file)}}}
}

func fail(text string) []specs.Hook {
	return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo " + text + " >&2; exit 9"}}}
}

// hookLines are the names and states that hooks have said.
func hookLines(t *testing.T, file string) (names []string, states []specs.State) {
	t.Helper()
	for line := range strings.Lines(readFile(t, file)) {
		name, state, _ := strings.Cut(strings.TrimSpace(line), " ")
		var st specs.State
		decode(t, state, &st)
		names, states = append(names, name), append(states, st)
	}
	return names, states
}

func TestHooksRunAtTheirTimes(t *testing.T) {
	h := newHost(t)
	file := filepath.Join(t.TempDir(), "said")
	dir := bundle(t, func(s *specs.Spec) {
		s.Annotations = map[string]string{"key": "value"}
		//lint:ignore SA1019 Docker still writes prestart
		s.Hooks = &specs.Hooks{Prestart: say("prestart", file), CreateRuntime: say("createRuntime", file),
			CreateContainer: say("createContainer", file), StartContainer: say("startContainer", "/said"),
			Poststart: say("poststart", file), Poststop: say("poststop", file)}
	})
	pidFile := filepath.Join(t.TempDir(), "pid")
	id := h.create(dir, "--pid-file", pidFile)
	pid := readPID(t, pidFile)
	inside := filepath.Join(dir, "rootfs/said")
	if _, err := os.Stat(inside); err == nil {
		t.Error("startContainer ran at create")
	}
	h.must("start", id)
	h.wantStatus(id, "running")
	h.must("delete", "--force", id)
	names, states := hookLines(t, file)
	equal(t, "order", strings.Join(names, " "), "prestart createRuntime createContainer poststart poststop")
	for i, want := range []specs.State{{Status: "creating", Pid: pid}, {Status: "creating", Pid: pid}, {Status: "creating", Pid: pid},
		{Status: "running", Pid: pid}, {Status: "stopped"}} {
		st := states[i]
		if st.Status != want.Status || st.Pid != want.Pid || st.ID != id || st.Bundle != dir || st.Annotations["key"] != "value" || st.Version == "" {
			t.Errorf("%s got %+v, want %s with pid %d", names[i], st, want.Status, want.Pid)
		}
	}
	_, states = hookLines(t, inside)
	if len(states) != 1 || states[0].ID != id || states[0].Status != "created" || states[0].Pid != 1 {
		t.Errorf("startContainer got %+v", states)
	}
}

// startContainer runs as the container's process does: in its namespaces, with its
// user, environment and programs.
func TestStartContainerHookIsInside(t *testing.T) {
	h := newHost(t)
	hook := func(env ...string) []specs.Hook {
		return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo $(id -u) $(hostname) $(pwd) $MINE $HOOK >> /mnt/said"}, Env: env}}
	}
	dir := bundle(t, script("echo command >> /mnt/said; cat /mnt/said"), mounts(specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs"}), func(s *specs.Spec) {
		s.Hostname, s.Process.Cwd = "inside", "/etc"
		s.Process.User.UID = 1000
		s.Process.Env = append(s.Process.Env, "MINE=mine")
		s.Hooks = &specs.Hooks{StartContainer: append(hook(), hook("PATH=/bin", "HOOK=hook")...)}
	})
	equal(t, "output", h.run(0, dir).stdout, "1000 inside /etc mine\n1000 inside /etc hook\ncommand\n")
}

func TestFailingHooks(t *testing.T) {
	h := newHost(t)
	one := 1
	slow := []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "sleep 1000"}, Timeout: &one}}
	for _, tc := range []struct {
		name  string
		hooks specs.Hooks
		want  []string
	}{
		//lint:ignore SA1019 Docker still writes prestart
		{"prestart", specs.Hooks{Prestart: fail("reason")}, []string{"error running prestart hook #0: exit status 9", "reason"}},
		{"createRuntime", specs.Hooks{CreateRuntime: fail("reason")}, []string{"error running createRuntime hook #0: exit status 9", "reason"}},
		{"createContainer", specs.Hooks{CreateContainer: fail("reason")}, []string{"error running createContainer hook #0: exit status 9", "reason"}},
		{"missing", specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/no/such/hook"}}}, []string{"error running createRuntime hook #0", "/no/such/hook", "no such file"}},
		//lint:ignore SA1019 Docker still writes prestart
		{"timeout", specs.Hooks{Prestart: slow}, []string{"error running prestart hook #0: hook ran past specified timeout of 1.0s"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "said")
			tc.hooks.Poststop = say("poststop", file)
			h.refused(1, tc.want, "create", bundle(t, func(s *specs.Spec) { s.Hooks = &tc.hooks }))
			names, _ := hookLines(t, file)
			equal(t, "hooks after the failure", strings.Join(names, " "), "poststop")
		})
	}
	for _, tc := range []struct {
		name  string
		hooks specs.Hooks
		want  string
	}{
		{"startContainer", specs.Hooks{StartContainer: fail("reason")}, "error running startContainer hook #0: exit status 9, output: reason"},
		{"startContainer missing", specs.Hooks{StartContainer: []specs.Hook{{Path: "/no/such/hook"}}}, "error running startContainer hook #0: exec /no/such/hook: no such file"},
		{"startContainer timeout", specs.Hooks{StartContainer: slow}, "error running startContainer hook #0: hook ran past specified timeout of 1.0s"},
		{"poststart", specs.Hooks{Poststart: fail("reason")}, "error running poststart hook #0: exit status 9"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := bundle(t, func(s *specs.Spec) { s.Hooks = &tc.hooks })
			id := h.create(dir)
			r := h.kata("start", id)
			if r.code == 0 {
				t.Errorf("start succeeded; %s", r)
			}
			contains(t, "error", r.stderr, tc.want)
			h.eventuallyStatus(id, "stopped")
			h.must("delete", id)
		})
	}
}

// A failing poststop hook is told, and holds nothing up.
func TestFailingPoststop(t *testing.T) {
	h := newHost(t)
	file := filepath.Join(t.TempDir(), "said")
	id := h.start(func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{Poststop: append(fail("reason"), say("poststop", file)...)}
	})
	r := h.kata("delete", "--force", id)
	equal(t, "exit code", r.code, 0)
	contains(t, "warning", r.stderr, "warning", "poststop hook #0: exit status 9")
	names, _ := hookLines(t, file)
	equal(t, "the other hook", strings.Join(names, " "), "poststop")
}
