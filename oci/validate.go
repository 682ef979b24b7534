package oci

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A rule is one thing the specification demands of a T. check returns the
// first violation: sub is what to append to field, such as "[2].destination",
// and reason says what is wrong; an empty reason means that all is well.
type rule[T any] struct {
	field string
	check func(T) (sub, reason string)
}

// firstViolation applies the rules in order.
func firstViolation[T any](v T, rules []rule[T]) error {
	for _, r := range rules {
		if sub, reason := r.check(v); reason != "" {
			return &ConfigError{Field: strings.TrimPrefix(r.field+sub, "."), Reason: reason}
		}
	}
	return nil
}

// validate checks all that can be checked without the host's file system.
func validate(s *specs.Spec) error {
	if err := firstViolation(s, rootRules); err != nil {
		return err
	}
	if err := ValidateProcess(s.Process); err != nil {
		return err
	}
	if err := firstViolation(s, specRules); err != nil {
		return err
	}
	if s.Linux == nil {
		return nil
	}
	return firstViolation(s.Linux, linuxRules)
}

// ValidateProcess checks a process configuration: the process of a bundle, or
// the one that `exec --process` reads (config.md, "Process"). The error is a
// *ConfigError whose field starts with "process".
func ValidateProcess(p *specs.Process) error {
	if p == nil {
		return &ConfigError{Field: "process", Reason: "is missing"}
	}
	return firstViolation(p, processRules)
}

// DecodeProcess decodes and validates the JSON document of `exec --process`:
// a process object by itself. The error is a *ConfigError.
func DecodeProcess(raw []byte) (*specs.Process, error) {
	p := new(specs.Process)
	if err := decode(raw, p); err != nil {
		return nil, err
	}
	return p, ValidateProcess(p)
}

var rootRules = []rule[*specs.Spec]{
	{"ociVersion", func(s *specs.Spec) (string, string) { return "", checkVersion(s.Version) }},
	{"root", func(s *specs.Spec) (string, string) {
		return "", when(s.Root == nil, "is missing")
	}},
	{"root.path", func(s *specs.Spec) (string, string) {
		if s.Root.Path == "" {
			return "", "is missing"
		}
		return "", checkNUL(s.Root.Path)
	}},
}

var specRules = []rule[*specs.Spec]{
	{"hostname", func(s *specs.Spec) (string, string) { return "", checkHostname(s, s.Hostname) }},
	{"domainname", func(s *specs.Spec) (string, string) { return "", checkHostname(s, s.Domainname) }},
	{"mounts", checkMounts},
	{"hooks", checkHooks},
	{"annotations", func(s *specs.Spec) (string, string) {
		_, empty := s.Annotations[""]
		return "", when(empty, "has an empty key")
	}},
	{"linux.maskedPaths", needMountNamespace(func(l *specs.Linux) []string { return l.MaskedPaths })},
	{"linux.readonlyPaths", needMountNamespace(func(l *specs.Linux) []string { return l.ReadonlyPaths })},
}

// when is for rules that are one condition.
func when(wrong bool, format string, args ...any) string {
	if !wrong {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

// index is the sub-field of an element.
func index(i int, name string) string { return "[" + strconv.Itoa(i) + "]" + name }

func checkNUL(s string) string {
	return when(strings.ContainsRune(s, 0), "%q has a NUL byte in it", s)
}

// checkVersion accepts every 1.x.y, with or without a suffix: the spec follows
// SemVer 2.0.0, so a later 1.x adds only what we may ignore (config.md,
// "Specification version").
func checkVersion(v string) string {
	if v == "" {
		return "is missing"
	}
	core, _, _ := strings.Cut(v, "+")
	core, _, _ = strings.Cut(core, "-")
	parts := strings.Split(core, ".")
	for _, p := range parts {
		if _, err := strconv.ParseUint(p, 10, 32); err != nil || len(parts) != 3 {
			return fmt.Sprintf("%q is not a version like %q", v, specs.Version)
		}
	}
	return when(parts[0] != "1", "%q is not supported, only 1.x is", v)
}

func checkHostname(s *specs.Spec, name string) string {
	switch {
	case name == "":
		return ""
	case len(name) > 64:
		return fmt.Sprintf("has %d bytes, the kernel takes 64", len(name))
	case !hasNamespace(s.Linux, specs.UTSNamespace):
		return "needs a namespace of type uts in linux.namespaces"
	}
	return checkNUL(name)
}

func hasNamespace(l *specs.Linux, t specs.LinuxNamespaceType) bool {
	return l != nil && slices.ContainsFunc(l.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == t })
}

func needMountNamespace(paths func(*specs.Linux) []string) func(*specs.Spec) (string, string) {
	return func(s *specs.Spec) (string, string) {
		if s.Linux == nil {
			return "", ""
		}
		list := paths(s.Linux)
		for i, p := range list {
			if reason := checkAbsolute(p); reason != "" {
				return index(i, ""), reason
			}
		}
		missing := len(list) > 0 && !hasNamespace(s.Linux, specs.MountNamespace)
		return "", when(missing, "needs a namespace of type mount in linux.namespaces")
	}
}

func checkAbsolute(p string) string {
	if p == "" {
		return "is empty"
	}
	if p[0] != '/' {
		return fmt.Sprintf("%q is not an absolute path", p)
	}
	return checkNUL(p)
}

func checkMounts(s *specs.Spec) (string, string) {
	for i, m := range s.Mounts {
		if m.Destination == "" {
			return index(i, ".destination"), "is missing"
		}
		if reason := checkNUL(m.Destination); reason != "" {
			return index(i, ".destination"), reason
		}
		if reason := checkDestination(&m); reason != "" {
			return index(i, ".destination"), reason
		}
		if IsBind(&m) && m.Source == "" {
			return index(i, ".source"), "is missing, a bind mount needs one"
		}
		if reason := checkNUL(m.Source); reason != "" {
			return index(i, ".source"), reason
		}
		if sub, reason := checkIDMap(s.Linux, &m); reason != "" {
			return index(i, sub), reason
		}
		if reason := checkCopyUp(&m); reason != "" {
			return index(i, ".options"), reason
		}
	}
	return "", ""
}

func checkHooks(s *specs.Spec) (string, string) {
	if s.Hooks == nil {
		return "", ""
	}
	h := s.Hooks
	for _, phase := range []struct {
		name  string
		hooks []specs.Hook
	}{
		//lint:ignore SA1019 Docker still writes it
		{".prestart", h.Prestart},
		{".createRuntime", h.CreateRuntime},
		{".createContainer", h.CreateContainer}, {".startContainer", h.StartContainer},
		{".poststart", h.Poststart}, {".poststop", h.Poststop},
	} {
		for i, hook := range phase.hooks {
			if reason := checkAbsolute(hook.Path); reason != "" {
				return phase.name + index(i, ".path"), reason
			}
			if hook.Timeout != nil && *hook.Timeout <= 0 {
				return phase.name + index(i, ".timeout"), fmt.Sprintf("is %d seconds, must be more than 0", *hook.Timeout)
			}
		}
	}
	return "", ""
}
