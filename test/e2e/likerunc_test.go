package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// An engine drives both runtimes with the same commands and must not be able to tell
// which one it has.

// peer is a runtime with a container.
type peer struct {
	t      *testing.T
	bin    string
	flags  []string
	bundle string
	log    string
	id     string
}

// outcome is what an engine sees of a command.
type outcome struct {
	code   int
	stdout string
	logged []string // the keys of the last message in the log, if there is a new one
	level  string
	stderr bool
}

func (p *peer) do(args ...string) outcome {
	p.t.Helper()
	for i, a := range args {
		args[i] = strings.NewReplacer("BUNDLE", p.bundle, "ID", p.id).Replace(a)
	}
	_ = os.Remove(p.log)
	c := exec.Command(p.bin, append(slices.Concat(p.flags, []string{"--log", p.log, "--log-format", "json"}), args...)...)
	c.Env = append(os.Environ(), "KATA_CONF_FILE="+emptyConf)
	out, errs := tempFile(p.t), tempFile(p.t)
	defer out.Close()
	defer errs.Close()
	c.Stdout, c.Stderr = out, errs
	o := outcome{code: exitCode(p.t, c.Run()), stdout: readFile(p.t, out.Name()), stderr: readFile(p.t, errs.Name()) != ""}
	text, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	var m map[string]string
	if last := lines[len(lines)-1]; o.code != 0 && strings.HasPrefix(last, "{") {
		if err := json.Unmarshal([]byte(last), &m); err != nil {
			p.t.Errorf("%s %q logs %q: %v", filepath.Base(p.bin), args, last, err)
		}
		o.logged, o.level = slices.Sorted(maps.Keys(m)), m["level"]
	}
	return o
}

// bothRuntimes gives each a bundle of the same content.
func bothRuntimes(t *testing.T, edits ...edit) (ours, theirs *peer) {
	t.Helper()
	h := newHost(t)
	ours = &peer{t: t, bin: runtimeBin, flags: h.flags, bundle: bundle(t, edits...), id: h.newID()}
	theirs = &peer{t: t, bin: runcBin(t), flags: []string{"--root", t.TempDir()}, bundle: bundle(t, edits...), id: h.newID()}
	for _, p := range []*peer{ours, theirs} {
		p.log = filepath.Join(t.TempDir(), "log")
		t.Cleanup(func() { p.do("delete", "--force", "ID") })
	}
	return ours, theirs
}

// unlike are the commands whose exit code is another with runc.
var unlike = map[string]string{
	"exec ID nosuchcommand":            "127, as a shell has it",
	"exec ID /etc/passwd":              "126, as a shell has it",
	"exec --cap CAP_NONE ID true":      "what is asked for and cannot be given is refused",
	"created and forgotten: delete ID": "the specification wants an error for a container that has not stopped",
}

// steps are commands in the order of a container's life. A step that begins with #
// names the part that follows.
const steps = `
# unknown
state ID
start ID
kill ID
kill ID NOSUCH
delete ID
delete --force ID
exec ID true
ps ID
ps -f json ID
pause ID
resume ID
update --pids-limit 5 ID
events --stats ID
events ID
list
list -q
list -f xml
checkpoint ID
restore ID
# arguments
state
state a b
start
start a b
create
create a b
run
run a b
delete
delete a b
exec
exec a
kill
kill a b c
ps
pause
pause a b
resume
update
update a b
events
events a b
list x
features x
spec x
checkpoint
restore
nosuchverb
help nosuchverb
help run
h
state --nosuchflag
--nosuchflag list
--log-format xml list
--log /nonexistent/log list
start ../x
state a/b
exec ../x true
create -b /nonexistent ID
run -b /nonexistent ID
# created
create -b BUNDLE ID
create -b BUNDLE ID
run -b BUNDLE ID
state ID
list
list -q
ps ID
exec ID true
exec ID sh -c "exit 3"
events --stats ID
update --pids-limit 50 ID
resume ID
pause ID
pause ID
start ID
exec ID true
resume ID
kill ID 0
# running
start ID
start ID
create -b BUNDLE ID
delete ID
resume ID
exec ID sh -c "exit 3"
exec ID sh -c "kill -9 $$"
exec ID sh -c "kill -15 $$"
exec ID nosuchcommand
exec ID /etc/passwd
exec ID
exec --tty ID true
exec --tty --detach ID true
exec --console-socket /nonexistent/socket ID true
exec --user name ID true
exec --user 0:name ID true
exec --additional-gids name ID true
exec --cap CAP_NONE ID true
exec --cwd relative ID true
exec --process /nonexistent ID
exec --pid-file /nonexistent/pid ID true
exec --cgroup nosuch ID true
kill ID 0
kill ID CONT
kill ID NOSUCH
kill ID 65
kill ID -1
ps ID
ps -f json ID
ps -f xml ID
events --interval 0s ID
update ID
update --pids-limit x ID
update --resources /nonexistent ID
update --cpu-quota 5 ID
pause ID
pause ID
state ID
list
ps ID
start ID
exec ID true
delete ID
events --stats ID
kill ID 0
resume ID
resume ID
# stopped
kill ID KILL
await ID
state ID
list
list -q
start ID
exec ID true
pause ID
resume ID
kill ID KILL
kill --all ID KILL
ps ID
ps -f json ID
events --stats ID
events ID
update --pids-limit 5 ID
create -b BUNDLE ID
run -b BUNDLE ID
delete ID
delete ID
delete -f ID
# created and forgotten
create -b BUNDLE ID
delete ID
delete -f ID
# run
run -b BUNDLE --detach ID
state ID
delete -f ID
`

func TestLikeRunc(t *testing.T) {
	ours, theirs := bothRuntimes(t)
	part := ""
	for line := range strings.Lines(steps) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "# "); ok || line == "" {
			part = name
			continue
		}
		args := words(line)
		if args[0] == "await" {
			for _, p := range []*peer{ours, theirs} {
				eventually(t, "the container has stopped", func() bool { return strings.Contains(p.do("state", "ID").stdout, `"stopped"`) })
			}
			continue
		}
		got, want := ours.do(slices.Clone(args)...), theirs.do(slices.Clone(args)...)
		compare(t, part+": "+line, got, want)
	}
	for _, line := range slices.Sorted(maps.Keys(unlike)) {
		t.Errorf("%s: the exception is no longer needed, or no step", line)
	}
}

// words splits a line as a shell does, as far as the steps need it.
func words(line string) []string {
	before, quoted, ok := strings.Cut(line, ` "`)
	out := strings.Fields(before)
	if ok {
		out = append(out, strings.TrimSuffix(quoted, `"`))
	}
	return out
}

func compare(t *testing.T, line string, got, want outcome) {
	t.Helper()
	_, step, _ := strings.Cut(line, ": ")
	for _, key := range []string{line, step} {
		if _, ok := unlike[key]; ok && got.code != want.code {
			delete(unlike, key)
			return
		}
	}
	if got.code != want.code {
		t.Errorf("%s: exit code %d, with runc %d", line, got.code, want.code)
		return
	}
	if got.code == 0 || strings.HasPrefix(step, "-") { // who cannot be asked for a log has none
		return
	}
	if slices.Compare(got.logged, want.logged) != 0 || got.level != want.level || got.stderr != want.stderr {
		t.Errorf("%s: it logs %q at level %q and says something: %v; with runc %q, %q, %v", line,
			got.logged, got.level, got.stderr, want.logged, want.level, want.stderr)
	}
}

// What runc prints is all there, under the same names.
func TestOutputLikeRunc(t *testing.T) {
	ours, theirs := bothRuntimes(t, func(s *specs.Spec) { s.Annotations = map[string]string{"a": "b"} })
	both := func(args ...string) (got, want string) {
		t.Helper()
		g, w := ours.do(slices.Clone(args)...), theirs.do(slices.Clone(args)...)
		if g.code != 0 || w.code != 0 {
			t.Fatalf("%q: exit codes %d, %d", args, g.code, w.code)
		}
		return g.stdout, w.stdout
	}
	got, want := both("list")
	equal(t, "the columns of list", strings.HasPrefix(squeeze(got), squeeze(want)), true)
	both("create", "--bundle", "BUNDLE", "ID")
	both("start", "ID")
	got, want = both("ps", "ID")
	equal(t, "the heading of ps", squeeze(firstLine(got)), squeeze(firstLine(want)))
	equal(t, "lines of ps", strings.Count(got, "\n"), strings.Count(want, "\n"))
	fields, theirFields := strings.Fields(strings.Split(got, "\n")[1]), strings.Fields(strings.Split(want, "\n")[1])
	equal(t, "user, terminal and command in ps", strings.Join([]string{fields[0], fields[5], strings.Join(fields[7:], " ")}, "|"),
		strings.Join([]string{theirFields[0], theirFields[5], strings.Join(theirFields[7:], " ")}, "|"))
	equal(t, "pids of the host", strings.Count(first(both("ps", "-f", "json", "ID")), ","), 0)
	equal(t, "list -q", first(both("list", "-q")), ours.id+"\n")
	for _, args := range [][]string{{"state", "ID"}, {"list", "-f", "json"}, {"events", "--stats", "ID"}, {"features"}} {
		got, want := both(args...)
		wantKeys(t, args[0], got, want)
	}
	ours.bundle, theirs.bundle = t.TempDir(), t.TempDir()
	both("spec", "-b", "BUNDLE")
	wantKeys(t, "spec", readFile(t, filepath.Join(ours.bundle, "config.json")), readFile(t, filepath.Join(theirs.bundle, "config.json")))
}

func first(a, _ string) string { return a }

func firstLine(s string) string { return strings.SplitN(s, "\n", 2)[0] }

func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

// otherKeys are what runc prints and we do not, with the reason.
var otherKeys = map[string]string{
	"events.data.cpu.usage.percpu":                   "of cgroup v1",
	"events.data.cpu.usage.percpu_kernel":            "of cgroup v1",
	"events.data.cpu.usage.percpu_user":              "of cgroup v1",
	"events.data.cpuset.cpus":                        "of cgroup v1",
	"events.data.cpuset.mems":                        "of cgroup v1",
	"events.data.memory.kernel.max":                  "of cgroup v1",
	"events.data.memory.raw":                         "what the kernel says, which is another for cgroup v1",
	"features.annotations":                           "the runtime's own",
	"features.linux.seccomp.archs":                   "those of the guest, which depend on the machine",
	"features.linux.seccomp.actions.SCMP_ACT_NOTIFY": "refused: no descriptor goes from the guest to the host",
	"spec.process.capabilities.ambient":              "newer versions of runc have none either: they made more of a user's processes privileged than was meant",
}

// wantKeys compares JSON: each key of want's is in got, and in a list of names each name.
func wantKeys(t *testing.T, what, got, want string) {
	t.Helper()
	var g, w any
	decode(t, got, &g)
	decode(t, want, &w)
	have := keysOf(what, g)
	for key := range keysOf(what, w) {
		excepted := ""
		for k := range otherKeys {
			if key == k || strings.HasPrefix(key, k+".") {
				excepted = k
			}
		}
		if !have[key] && excepted == "" {
			t.Errorf("%s is what runc prints, and not here", key)
		}
	}
	for k := range otherKeys {
		if strings.HasPrefix(k, what+".") && have[k] && k != "events.data.memory.raw" && k != "features.annotations" {
			t.Errorf("%s is there: the exception is no longer needed", k)
		}
	}
}

// keysOf are the paths of the keys below v, and the words of its lists.
func keysOf(path string, v any) map[string]bool {
	keys := map[string]bool{path: true}
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			maps.Copy(keys, keysOf(path+"."+k, e))
		}
	case []any:
		for _, e := range v {
			if s, ok := e.(string); ok {
				keys[path+"."+s] = true
			} else {
				maps.Copy(keys, keysOf(path, e))
			}
		}
	}
	return keys
}
