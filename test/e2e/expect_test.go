package e2e

import (
	"os"
	"strings"
)

// fails runs a command that has to fail: with the exit code, nothing on standard
// output, and one line on standard error that has all parts in it.
func (h *host) fails(code int, parts []string, args ...string) result {
	h.t.Helper()
	r := h.kata(args...)
	if r.code != code {
		h.t.Errorf("want exit code %d; %s", code, r)
	}
	if r.stdout != "" {
		h.t.Errorf("want nothing on stdout; %s", r)
	}
	h.wantOneLine(r)
	for _, p := range parts {
		if !strings.Contains(r.stderr, p) {
			h.t.Errorf("the error lacks %q; %s", p, r)
		}
	}
	return r
}

func (h *host) wantOneLine(r result) {
	h.t.Helper()
	if strings.Count(r.stderr, "\n") != 1 || !strings.HasSuffix(r.stderr, "\n") || strings.TrimSpace(r.stderr) == "" {
		h.t.Errorf("want one line on stderr; %s", r)
	}
}

// refused is fails for a create or run that must leave nothing, not even until
// delete; and delete --force of what is not there is no error.
func (h *host) refused(code int, parts []string, verb, dir string) {
	h.t.Helper()
	id := h.newID()
	h.fails(code, parts, verb, "--bundle", dir, id)
	if _, err := os.Stat(h.root + "/" + id); err == nil {
		h.t.Errorf("%s is left after a %s that failed", id, verb)
	}
	h.must("delete", "--force", id)
	h.wantNothing()
}
