package config

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// Error says what is wrong with a configuration file.
type Error struct {
	// File is the path of the file.
	File string
	// Line and Column count from 1; 0 where the parser gave no position.
	Line, Column int
	// Key is the dotted key the error is about; empty for a syntax error.
	Key string
	// Problem is what is wrong, including the values that would be right.
	Problem string
}

// Error returns "FILE:LINE:COLUMN: KEY: PROBLEM", leaving out what is not known.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Problem)
	return b.String()
}

// document mirrors the file. Leaves are untyped so that a wrong type is
// reported by this package, with the key and the allowed values.
type document struct {
	Hypervisor       any `toml:"hypervisor"`
	MinimumIsolation any `toml:"minimum_isolation"`
	Kernel           any `toml:"kernel"`
	Agent            any `toml:"agent"`
	DefaultMemory    any `toml:"default_memory"`
	DefaultVCPUs     any `toml:"default_vcpus"`
	BootTimeout      any `toml:"boot_timeout"`
	PoolSize         any `toml:"pool_size"`
	Debug            any `toml:"debug"`
	UML              struct {
		Mode any `toml:"mode"`
	} `toml:"uml"`
	QEMU struct {
		Accelerator any `toml:"accelerator"`
		Machine     any `toml:"machine"`
		Network     any `toml:"network"`
		Share       any `toml:"share"`
		Template    any `toml:"template"`
		TemplateDir any `toml:"template_dir"`
	} `toml:"qemu"`
}

// parse turns the text of a file into a checked configuration.
func parse(file string, data []byte) (*Config, error) {
	var doc document
	dec := toml.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		return nil, parserError(file, err)
	}
	c := Default()
	c.Source = file
	p := &checker{file: file}
	p.word("hypervisor", doc.Hypervisor, &c.Hypervisor)
	p.choice("minimum_isolation", doc.MinimumIsolation, &c.MinimumIsolation, IsolationHardware, IsolationSoftware)
	p.path("kernel", doc.Kernel, &c.Kernel)
	p.path("agent", doc.Agent, &c.Agent)
	p.integer("default_memory", doc.DefaultMemory, &c.DefaultMemory, 96, 1<<20, "MiB")
	p.integer("default_vcpus", doc.DefaultVCPUs, &c.DefaultVCPUs, 1, 256, "processors")
	p.duration("boot_timeout", doc.BootTimeout, &c.BootTimeout, 100*time.Millisecond, 10*time.Minute)
	p.integer("pool_size", doc.PoolSize, &c.PoolSize, 0, 64, "machines")
	p.boolean("debug", doc.Debug, &c.Debug)
	p.choice("uml.mode", doc.UML.Mode, &c.UML.Mode, UMLPtrace, UMLSeccomp)
	p.choice("qemu.accelerator", doc.QEMU.Accelerator, &c.QEMU.Accelerator, QEMUAuto, QEMUKVM, QEMUTCG)
	p.choice("qemu.machine", doc.QEMU.Machine, &c.QEMU.Machine, QEMUMicrovm, QEMUQ35)
	p.choice("qemu.network", doc.QEMU.Network, &c.QEMU.Network, QEMUAuto, QEMURelay)
	p.choice("qemu.share", doc.QEMU.Share, &c.QEMU.Share, QEMU9P, QEMUVirtiofs)
	p.boolean("qemu.template", doc.QEMU.Template, &c.QEMU.Template)
	p.directory("qemu.template_dir", doc.QEMU.TemplateDir, &c.QEMU.TemplateDir)
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	return c, nil
}

// parserError translates the parser's errors; unknown keys are all reported.
func parserError(file string, err error) error {
	var missing *toml.StrictMissingError
	if errors.As(err, &missing) {
		var errs []error
		for i := range missing.Errors {
			errs = append(errs, positioned(file, &missing.Errors[i], "unknown key"))
		}
		return errors.Join(errs...)
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		return positioned(file, decode, strings.TrimPrefix(decode.Error(), "toml: "))
	}
	return &Error{File: file, Problem: err.Error()}
}

// positioned adds the file to an error that knows its place.
func positioned(file string, e *toml.DecodeError, problem string) *Error {
	line, column := e.Position()
	return &Error{File: file, Line: line, Column: column, Key: strings.Join(e.Key(), "."), Problem: problem}
}

// checker stores values of the right type and range and collects the errors of
// the others. A nil value means the file has no such key.
type checker struct {
	file string
	errs []error
}

// fail records that key's value is not what it should be.
func (p *checker) fail(key string, value any, want string) {
	p.errs = append(p.errs, &Error{File: p.file, Key: key, Problem: fmt.Sprintf("got %s, want %s", show(value), want)})
}

// show prints a value as the file would, cut to a readable length.
func show(value any) string {
	s := fmt.Sprintf("%v", value)
	if t, ok := value.(string); ok {
		s = fmt.Sprintf("%q", t)
	}
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "..."
	}
	return s
}

// choice accepts one of the allowed strings.
func (p *checker) choice(key string, value any, to *string, allowed ...string) {
	if value == nil {
		return
	}
	s, ok := value.(string)
	for _, a := range allowed {
		if ok && s == a {
			*to = s
			return
		}
	}
	p.fail(key, value, `"`+strings.Join(allowed, `" or "`)+`"`)
}

// word accepts a name made of lower-case letters, digits and hyphens.
func (p *checker) word(key string, value any, to *string) {
	if value == nil {
		return
	}
	s, ok := value.(string)
	alien := func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-", r) }
	if !ok || s == "" || len(s) > 64 || strings.ContainsFunc(s, alien) {
		p.fail(key, value, `"auto" or the name of a driver (lower-case letters, digits, hyphens)`)
		return
	}
	*to = s
}

// path accepts an absolute path, or "" for "find it".
func (p *checker) path(key string, value any, to *string) {
	if value == nil {
		return
	}
	s, ok := value.(string)
	if !ok || s != "" && !filepath.IsAbs(s) || strings.ContainsRune(s, 0) {
		p.fail(key, value, `an absolute path, or "" to look beside the executable`)
		return
	}
	*to = s
}

// directory accepts an absolute path.
func (p *checker) directory(key string, value any, to *string) {
	if value == nil {
		return
	}
	s, ok := value.(string)
	if !ok || !filepath.IsAbs(s) || strings.ContainsRune(s, 0) {
		p.fail(key, value, "an absolute path")
		return
	}
	*to = s
}

// integer accepts a whole number of the given unit from low to high.
func (p *checker) integer(key string, value any, to *int, low, high int64, unit string) {
	if value == nil {
		return
	}
	n, ok := value.(int64)
	if !ok || n < low || n > high {
		p.fail(key, value, fmt.Sprintf("a whole number of %s from %d to %d", unit, low, high))
		return
	}
	*to = int(n)
}

// duration accepts a Go duration string from low to high.
func (p *checker) duration(key string, value any, to *time.Duration, low, high time.Duration) {
	if value == nil {
		return
	}
	s, _ := value.(string)
	d, err := time.ParseDuration(s)
	if err != nil || d < low || d > high {
		p.fail(key, value, fmt.Sprintf(`a duration such as "10s" from %v to %v`, low, high))
		return
	}
	*to = d
}

// boolean accepts true or false.
func (p *checker) boolean(key string, value any, to *bool) {
	if value == nil {
		return
	}
	b, ok := value.(bool)
	if !ok {
		p.fail(key, value, "true or false")
		return
	}
	*to = b
}
