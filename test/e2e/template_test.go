package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// savedMachine is what the tests need of kata template list.
type savedMachine struct {
	ID, Name, Problem string
	Bytes             int64
}

// template runs kata template.
func (h *host) template(args ...string) result {
	h.t.Helper()
	c := h.cmd(append([]string{"template"}, args...)...)
	c.Path = filepath.Join(filepath.Dir(runtimeBin), "kata")
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	code := exitCode(h.t, c.Run())
	return result{c.Args, out.String(), errs.String(), code}
}

func (h *host) templates() (list []savedMachine) {
	h.t.Helper()
	r := h.template("list", "--format", "json")
	if r.code != 0 {
		h.t.Fatal(r)
	}
	decode(h.t, r.stdout, &list)
	return list
}

// TestTemplateCommands: what is saved before is what containers start from.
func TestTemplateCommands(t *testing.T) {
	h := newHost(t)
	h.flags = append(h.flags, "--hypervisor", "qemu")
	dir := filepath.Join(t.TempDir(), "machines")
	h.withConfig("hypervisor = \"qemu\"\n[qemu]\naccelerator = \"tcg\"\ntemplate_dir = \"" + dir + "\"\n")
	r := h.template("create", "--memory", "100m")
	ids := strings.Fields(r.stdout)
	if r.code != 0 || len(ids) != 2 {
		t.Fatalf("want two ids; %s", r)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil || st.Mode&0o077 != 0 {
		t.Errorf("mode %o, %v: others can look into the directory", st.Mode, err)
	}
	limited := resources(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: new(int64(100 << 20))}})
	if r := h.run(3, bundle(t, script("exit 3"), limited)); r.stderr != "" {
		t.Errorf("want nothing on stderr; %s", r)
	}
	w := newWire(t)
	id := h.start(w.namespace(), capabilities("CAP_NET_RAW"), limited)
	h.must("exec", id, "ping", "-c", "1", "-W", "10", "10.99.0.1")
	list := h.templates()
	if len(list) != 2 {
		t.Errorf("containers did not use what was saved: %+v", list)
	}
	for _, m := range list {
		if !slices.Contains(ids, m.ID) || m.Problem != "" || m.Bytes < 1<<20 || !strings.Contains(m.Name, "164 MiB") {
			t.Errorf("%+v", m)
		}
	}
	table := h.template("list").stdout
	contains(t, "table", table, "MACHINE", ids[0], ids[1], "good")
	if r := h.template("remove", "0123456789abcdef"); r.code != 1 || !strings.Contains(r.stderr, "no template") {
		t.Errorf("want an error; %s", r)
	}
	if r := h.template("remove", "--all"); r.code != 0 || len(h.templates()) != 0 {
		t.Errorf("want none left; %s", r)
	}
	h.must("exec", id, "ping", "-c", "1", "-W", "10", "10.99.0.1") // what runs goes on
	h.must("delete", "--force", id)

	for _, tc := range []struct {
		want string
		args []string
	}{
		{"either ids or --all", []string{"remove"}},
		{"either ids or --all", []string{"remove", "--all", ids[0]}},
		{"no command", []string{"make"}},
		{"--memory", []string{"create", "--memory", "much"}},
		{"from 0 to", []string{"create", "--interfaces", "100"}},
		{"machines of uml are not saved", []string{"create", "--hypervisor", "uml"}},
	} {
		if r := h.template(tc.args...); r.code != 1 || !strings.Contains(r.stderr, tc.want) {
			t.Errorf("want an error with %q; %s", tc.want, r)
		}
	}
	h.wantNothing()
}

// TestNoTemplate: where no machine can be saved, the container runs, and the command says
// why it took long.
func TestNoTemplate(t *testing.T) {
	h := newHost(t)
	h.flags = append(h.flags, "--hypervisor", "qemu")
	dir := t.TempDir() // others may look into it
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h.withConfig("hypervisor = \"qemu\"\n[qemu]\naccelerator = \"tcg\"\ntemplate_dir = \"" + dir + "\"\n")
	r := h.run(3, bundle(t, script("exit 3")))
	contains(t, "stderr", r.stderr, "warning", "the machine boots", "chmod 700")
	if r := h.template("create"); r.code != 1 || !strings.Contains(r.stderr, "chmod 700") {
		t.Errorf("want an error; %s", r)
	}
	h.withConfig("hypervisor = \"qemu\"\n[qemu]\naccelerator = \"tcg\"\ntemplate = false\ntemplate_dir = \"" + dir + "\"\n")
	if r := h.run(3, bundle(t, script("exit 3"))); r.stderr != "" {
		t.Errorf("want nothing on stderr; %s", r)
	}
	h.wantNothing()
}
