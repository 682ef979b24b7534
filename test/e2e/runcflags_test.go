package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// runc is what engines know: its own help says what they may ask for.

// runcBin is runc, which is in sbin on Debian.
func runcBin(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"runc", "/usr/sbin/runc"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("runc is not installed: hack/setup.sh test")
	return ""
}

// runcHelp returns the lines of a section of runc's help, that of a verb or of all.
func runcHelp(t *testing.T, section string, verb ...string) []string {
	t.Helper()
	out, err := exec.Command(runcBin(t), append(verb, "--help")...).Output()
	if err != nil {
		t.Fatalf("runc %s --help: %v", strings.Join(verb, " "), err)
	}
	_, rest, _ := strings.Cut(string(out), "\n"+section+":\n")
	var lines []string
	for line := range strings.Lines(rest) {
		if line != "\n" && !strings.HasPrefix(line, " ") && len(lines) > 0 {
			break
		}
		lines = append(lines, line)
	}
	return lines
}

// flagOf is one flag in a line of help; a word after it stands for its value.
var flagOf = regexp.MustCompile(`(--?[a-z0-9][a-z0-9-]*)( value)?(, |  +)`)

// runcFlags are the flags in the lines, with "=" where there is a value.
func runcFlags(lines []string) []string {
	var flags []string
	for _, line := range lines {
		rest := strings.TrimPrefix(line, "   ")
		for strings.HasPrefix(rest, "-") {
			m := flagOf.FindStringSubmatch(rest)
			if m == nil {
				break
			}
			f := m[1]
			if m[2] != "" {
				f += "="
			}
			flags = append(flags, f)
			rest = rest[len(m[0]):]
		}
	}
	return flags
}

// refusedFlags are those of runc that kata-runtime knows and refuses by their name.
var refusedFlags = map[string]string{
	"exec --process-label":     "no SELinux in the guest",
	"exec --apparmor":          "no AppArmor in the guest",
	"spec --rootless":          "machines are made by root",
	"update --l3-cache-schema": "no resctrl in a virtual machine",
	"update --mem-bw-schema":   "no resctrl in a virtual machine",
}

func TestFlagsOfRunc(t *testing.T) {
	h := newHost(t)
	dir := t.TempDir()
	resources := filepath.Join(dir, "resources.json")
	writeFile(t, resources, "{}")
	values := map[string]string{"--format": "json", "-f": "json", "--interval": "1s", "--resources": resources, "-r": resources,
		"--bundle": dir, "-b": dir, "--cap": "CAP_KILL", "-c": "CAP_KILL", "--blkio-weight": "100", "--log-format": "json", "--preserve-fds": "0",
		"--root": h.root, "--log": filepath.Join(dir, "log")}
	for _, line := range runcHelp(t, "COMMANDS") {
		verb, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if verb == "help," || verb == "" {
			continue // TestHelpAndVersion
		}
		t.Run(verb, func(t *testing.T) {
			contains(t, "help", h.must(verb, "--help"), "Usage: kata-runtime")
			bare := []string{h.newID()}
			switch verb {
			case "list", "features":
				bare = nil
			case "spec":
				bare = []string{"--bundle", filepath.Join(dir, "missing")}
			case "create", "run":
				bare = []string{"--bundle", dir, h.newID()} // without a config.json
			}
			want := h.kata(append([]string{verb}, bare...)...)
			if verb == "delete" {
				want = result{} // with --force, one that is gone is no error
			}
			for _, flag := range runcFlags(runcHelp(t, "OPTIONS", verb)) {
				name, hasValue := strings.CutSuffix(flag, "=")
				args := []string{verb, name}
				if hasValue {
					args = append(args, valueOf(values, name))
				}
				wantFlag(t, h.kata(append(args, bare...)...), want, verb+" "+name)
			}
		})
	}
	for _, flag := range runcFlags(runcHelp(t, "GLOBAL OPTIONS")) {
		name, hasValue := strings.CutSuffix(flag, "=")
		args := []string{name}
		if hasValue {
			args = append(args, valueOf(values, name))
		}
		if r := h.kata(append(args, "list")...); r.code != 0 || r.stderr != "" {
			t.Errorf("runc has the global flag %s; %s", name, r)
		}
	}
	_ = os.Remove(filepath.Join(dir, "log"))
}

func valueOf(values map[string]string, flag string) string {
	if v, ok := values[flag]; ok {
		return v
	}
	return "1"
}

// wantFlag compares a command with a flag to the one without: a flag that is known
// changes nothing about a container that does not exist.
func wantFlag(t *testing.T, got, want result, flag string) {
	t.Helper()
	_, refused := refusedFlags[flag]
	_, name, _ := strings.Cut(flag, " ")
	name = strings.TrimLeft(name, "-") // -name, as Go has it, or --name
	same := got.code == want.code && got.stderr == want.stderr
	switch {
	case refused && same:
		t.Errorf("%s is accepted: it is no exception any more", flag)
	case refused && (got.code == 0 || !strings.Contains(got.stderr, name) || strings.Contains(got.stderr, "not defined")):
		t.Errorf("%s is to be refused by its name; %s", flag, got)
	case !refused && !same:
		t.Errorf("%s is not accepted; %s, without it: %s", flag, got, want)
	}
}
