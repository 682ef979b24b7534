package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// entry is a message in the form that engines read.
type entry struct {
	Level string    `json:"level"`
	Msg   string    `json:"msg"`
	Time  time.Time `json:"time"`
}

func wantEntry(t *testing.T, line, msg string) {
	t.Helper()
	equal(t, "lines", strings.Count(line, "\n"), 1)
	var e entry
	decode(t, line, &e)
	equal(t, "level", e.Level, "error")
	contains(t, "msg", e.Msg, msg)
	if time.Since(e.Time).Abs() > time.Hour {
		t.Errorf("time is %v", e.Time)
	}
}

func TestErrorsAreLogged(t *testing.T) {
	for _, tc := range []struct {
		name string
		args func(t *testing.T, id string) []string
		want string
		code int
	}{
		{"unknown container", func(_ *testing.T, id string) []string { return []string{"state", id} }, "does not exist", 1},
		{"no config.json", func(t *testing.T, id string) []string { return []string{"create", "-b", t.TempDir(), id} }, "config.json", 1},
		{"bad field", func(t *testing.T, id string) []string {
			return []string{"create", "-b", bundle(t, func(s *specs.Spec) { s.Process.Cwd = "tmp\n" }), id}
		}, "is not an absolute path", 1},
		{"command not found", func(t *testing.T, id string) []string {
			return []string{"run", "-b", bundle(t, args("nosuchcommand")), id}
		}, "nosuchcommand", 127},
		{"bad flag", func(*testing.T, string) []string { return []string{"list", "--nosuchflag"} }, "nosuchflag", 1},
		{"bad id", func(*testing.T, string) []string { return []string{"start", "a/b"} }, "a/b", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHost(t)
			line := tc.args(t, h.newID())
			log := filepath.Join(t.TempDir(), "log.json")
			plain := append([]string{}, h.flags...)

			h.flags = append(plain, "--log-format", "json")
			r := h.kata(line...)
			equal(t, "exit code", r.code, tc.code)
			wantEntry(t, r.stderr, tc.want)

			h.flags = append(plain, "--log-format", "json", "--log", log)
			r = h.kata(line...)
			equal(t, "exit code", r.code, tc.code)
			wantEntry(t, readFile(t, log), tc.want)
			h.wantOneLine(r)
			contains(t, "stderr", r.stderr, tc.want)

			h.flags = append(plain, "--log", log)
			r = h.kata(line...)
			equal(t, "exit code", r.code, tc.code)
			contains(t, "text log", readFile(t, log), "level=error", tc.want)
			h.flags = plain
		})
	}
}

func TestLogFormatIsChecked(t *testing.T) {
	h := newHost(t)
	h.fails(1, []string{"--log-format", "xml"}, "--log-format", "xml", "list")
}
