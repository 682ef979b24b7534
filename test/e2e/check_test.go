package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"kata/check"
)

// checked is what the tests need of the output of kata check --json.
type checked struct {
	MinimumIsolation, Chosen, Isolation, Error string
	Machines, Host                             []struct {
		Name   string
		Works  bool
		Reason struct{ Kind, Cause, Remedy string }
	}
}

func (h *host) check(args ...string) result {
	h.t.Helper()
	c := h.cmd(append([]string{"check"}, args...)...)
	c.Path = filepath.Join(filepath.Dir(runtimeBin), "kata")
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	code := exitCode(h.t, c.Run())
	return result{c.Args, out.String(), errs.String(), code}
}

// TestCheck compares what kata check says with what the commands then do.
func TestCheck(t *testing.T) {
	h := newHost(t)
	r := h.check("--json")
	equal(t, "exit code", r.code, 0)
	var c checked
	decode(t, r.stdout, &c)
	v := h.state(h.create(bundle(t)))
	equal(t, "chosen", c.Chosen, v.Kata.Hypervisor)
	equal(t, "isolation", c.Isolation, v.Kata.Isolation)
	works := map[string]bool{}
	for _, m := range c.Machines {
		works[m.Name] = m.Works
		if !m.Works && (m.Reason.Kind == "" || m.Reason.Cause == "" || m.Reason.Remedy == "") {
			t.Errorf("%s: no reason: %+v", m.Name, m.Reason)
		}
	}
	equal(t, "machines", len(c.Machines), 3)
	equal(t, "uml", works["uml"], true)
	equal(t, "qemu/tcg", works["qemu/tcg"], true)
	equal(t, "qemu/kvm", works["qemu/kvm"], check.KVM() == nil)
	equal(t, "facts", len(c.Host), 4)

	table := h.check().stdout
	contains(t, "table", table, "MACHINE", "uml", "qemu/kvm", "qemu/tcg", "vhost-vsock", "vhost-net",
		"a container would get: "+c.Chosen+", "+c.Isolation+" isolation")
}

// TestCheckWithinMinimumIsolation: what a start refuses, the check does too, in the
// same words.
func TestCheckWithinMinimumIsolation(t *testing.T) {
	h := newHost(t)
	r := h.check("--json", "--isolation", "hardware", "--hypervisor", "uml")
	equal(t, "exit code", r.code, 1)
	var c checked
	decode(t, r.stdout, &c)
	equal(t, "chosen", c.Chosen, "")
	h.flags = append(h.flags, "--isolation", "hardware", "--hypervisor", "uml")
	h.refused(1, []string{"hardware isolation is required", c.Error}, "create", bundle(t))
	if why := check.KVM(); why != nil {
		contains(t, "error", c.Error, why.Cause, why.Remedy)
	}
	contains(t, "table", h.check().stdout, "a container would not start: ")
}

func TestCheckOfAnIncompleteInstallation(t *testing.T) {
	h := newHost(t)
	h.withConfig("kernel = \"/nonexistent\"\n")
	r := h.check()
	equal(t, "exit code", r.code, 1)
	contains(t, "table", r.stdout, "/nonexistent", "a container would not start: ")
	for _, bad := range [][]string{{"--isolation", "none"}, {"surplus"}, {"--no-such-flag"}} {
		r := h.check(bad...)
		equal(t, "exit code", r.code, 1)
		contains(t, "error", r.stderr, strings.TrimLeft(bad[len(bad)-1], "-"))
	}
}
