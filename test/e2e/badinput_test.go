package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestBadBundles(t *testing.T) {
	h := newHost(t)
	config := func(dir string) string { return filepath.Join(dir, "config.json") }
	for _, tc := range []struct {
		name  string
		spoil func(dir string) error
		want  []string
	}{
		{"no config.json", func(d string) error { return os.Remove(config(d)) }, []string{"config.json not found"}},
		{"no bundle", os.RemoveAll, []string{"no such file"}},
		{"config.json is a directory", func(d string) error { _ = os.Remove(config(d)); return os.Mkdir(config(d), 0o755) }, []string{"config.json", "not a regular file"}},
		{"empty config.json", func(d string) error { return os.Truncate(config(d), 0) }, []string{"config.json"}},
		{"malformed JSON", func(d string) error { return os.Truncate(config(d), 100) }, []string{"config.json", "JSON"}},
		{"wrong type", replaceIn("config.json", `"hostname":"kata"`, `"hostname":5`), []string{"hostname"}},
		{"wrong type, deep", replaceIn("config.json", `"cwd":"/"`, `"cwd":[]`), []string{"process.cwd"}},
		{"no rootfs", func(d string) error { return os.RemoveAll(filepath.Join(d, "rootfs")) }, []string{"root.path", "no such file"}},
		{"rootfs is a file", func(d string) error {
			_ = os.RemoveAll(filepath.Join(d, "rootfs"))
			return os.WriteFile(filepath.Join(d, "rootfs"), nil, 0o644)
		}, []string{"root.path", "not a directory"}},
	} {
		for _, verb := range []string{"create", "run"} {
			t.Run(tc.name+"/"+verb, func(t *testing.T) {
				dir := bundle(t)
				if err := tc.spoil(dir); err != nil {
					t.Fatal(err)
				}
				h.refused(1, tc.want, verb, dir)
			})
		}
	}
}

func replaceIn(name, old, with string) func(dir string) error {
	return func(dir string) error {
		file := filepath.Join(dir, name)
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return os.WriteFile(file, []byte(strings.Replace(string(b), old, with, 1)), 0o644)
	}
}

func TestBadSpecs(t *testing.T) {
	h := newHost(t)
	for _, tc := range []struct {
		want string
		edit edit
	}{
		{"process.args", func(s *specs.Spec) { s.Process.Args = nil }},
		{"process.cwd", func(s *specs.Spec) { s.Process.Cwd = "tmp" }},
		{"process.rlimits[0].type", func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NONE"}} }},
		{"ociVersion", func(s *specs.Spec) { s.Version = "" }},
		// To the kernel this id means "as before", and that would be root.
		{"process.user.uid", func(s *specs.Spec) { s.Process.User.UID = 1<<32 - 1 }},
		{"hooks.poststop[0].path", func(s *specs.Spec) { s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "true"}}} }},
		{"linux.cgroupsPath", func(s *specs.Spec) { s.Linux.CgroupsPath = "/a\x00b" }},
		{"host cgroup", func(s *specs.Spec) { s.Linux.CgroupsPath = "/" + strings.Repeat("x", 5000) }},
		{"linux.netDevices", func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"lo": {}} }},
		{"linux.memoryPolicy", func(s *specs.Spec) { s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{} }},
		{"/no/such/source", mounts(bind("/no/such/source", "/mnt"))},
		{"mounts[7].type", mounts(specs.Mount{Destination: "/mnt", Type: "nfs", Source: "x:/"})},
		{"linux.namespaces", func(s *specs.Spec) {
			s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}}
		}},
	} {
		t.Run(tc.want, func(t *testing.T) { h.refused(1, []string{tc.want}, "create", bundle(t, tc.edit)) })
	}
}

// usual is the exit code of a verb that fails, as with runc.
func usual(verb string) int {
	if verb == "exec" {
		return 255
	}
	return 1
}

func TestUnknownContainer(t *testing.T) {
	h := newHost(t)
	id := h.newID()
	for verb, after := range map[string][]string{"start": nil, "state": nil, "kill": {"KILL"}, "delete": nil, "exec": {"true"}, "ps": nil} {
		t.Run(verb, func(t *testing.T) {
			h.fails(usual(verb), []string{"does not exist", id}, append([]string{verb, id}, after...)...)
		})
	}
	h.must("delete", "--force", id)
}

func TestBadIDs(t *testing.T) {
	h := newHost(t)
	dir := bundle(t)
	outside := filepath.Join(filepath.Dir(h.root), h.newID())
	if err := os.Mkdir(outside, 0o700); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(outside)
	for _, id := range []string{"../" + filepath.Base(outside), "a/b", "/abs", "..", ".", "", "sp ace", "new\nline", strings.Repeat("x", 200)} {
		for _, line := range [][]string{{"create", "-b", dir, id}, {"run", "-b", dir, id}, {"start", id}, {"state", id}, {"kill", id},
			{"delete", id}, {"delete", "--force", id}, {"exec", id, "true"}, {"ps", id}} {
			h.fails(usual(line[0]), []string{"container id"}, line...)
		}
	}
	if _, err := os.Stat(outside); err != nil {
		t.Errorf("a directory outside of --root is gone: %v", err)
	}
	h.fails(1, []string{"exactly one"}, "create", "-b", dir)
	h.fails(1, []string{"exactly one"}, "create", "-b", dir, "a", "b")
	h.wantNothing()
}

func TestIDInUse(t *testing.T) {
	h := newHost(t)
	id := h.start()
	for _, verb := range []string{"create", "run"} {
		h.fails(1, []string{"already exists"}, verb, "--bundle", bundle(t), id)
		h.wantStatus(id, "running")
	}
	equal(t, "exec in the first", h.must("exec", id, "echo", "well"), "well\n")
	h.must("kill", id, "KILL")
	h.fails(1, []string{"already exists"}, "create", "--bundle", bundle(t), id)
	h.must("delete", id)
	h.wantNothing()
}

func TestBadCommands(t *testing.T) {
	h := newHost(t)
	for _, tc := range []struct {
		name string
		code int
		want string
		args []string
	}{
		{"not in PATH", 127, "not found", []string{"nosuchcommand"}},
		{"no such path", 127, "/no/such", []string{"/no/such"}},
		{"below a file", 127, "/etc/passwd/x", []string{"/etc/passwd/x"}},
		{"not executable", 126, "permission denied", []string{"/etc/passwd"}},
		{"directory", 126, "permission denied", []string{"/etc"}},
	} {
		for _, verb := range []string{"create", "run"} {
			t.Run(tc.name+"/"+verb, func(t *testing.T) { h.refused(tc.code, []string{tc.want}, verb, bundle(t, args(tc.args...))) })
		}
	}
}

// What only execve(2) finds out is found out by start.
func TestCommandsThatTheKernelRefuses(t *testing.T) {
	h := newHost(t)
	for name, tc := range map[string]struct {
		text string
		code int
	}{"no such interpreter": {"#!/no/such\n", 127}, "no known format": {"\x01\x02\x03", 126}} {
		t.Run(name, func(t *testing.T) {
			dir := bundle(t, args("/command"))
			if err := os.WriteFile(filepath.Join(dir, "rootfs/command"), []byte(tc.text), 0o755); err != nil {
				t.Fatal(err)
			}
			h.refused(tc.code, []string{"exec"}, "run", dir)
			id := h.create(dir)
			h.fails(tc.code, []string{"exec"}, "start", id)
			h.eventuallyStatus(id, "stopped")
			h.must("delete", id)
		})
	}
}
