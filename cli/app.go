package cli

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kata/sandbox/proxy"
	"kata/sandbox/state"
)

// Version of the release; the linker sets it through the commands' main packages.
var Version = "unknown"

// app is one invocation of a command line.
type app struct {
	name       string
	root       string
	logFile    string
	logFormat  string
	debug      bool
	config     string
	isolation  string
	hypervisor string
	stdout     io.Writer
	stderr     io.Writer
}

// exitError ends the command with a code and without a message.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// codeError is an error that ends the command with a code of its own.
type codeError struct {
	error
	code int
}

func (e *codeError) Unwrap() error { return e.error }

// verb is one subcommand.
type verb struct {
	name, usage, help string
	run               func(a *app, args []string) error
}

// newFlags makes a flag set that reports errors to the caller.
func newFlags(v string) *flag.FlagSet {
	fs := flag.NewFlagSet(v, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// helpError asks for the help of a verb, whose flags are in it.
type helpError struct{ flags *flag.FlagSet }

func (helpError) Error() string { return flag.ErrHelp.Error() }

// parse reads a verb's flags.
func parse(fs *flag.FlagSet, args []string) error {
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return helpError{fs}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", fs.Name(), err)
	}
	return nil
}

// printFlags lists flags; one that has a short form as well is listed under both.
func (a *app) printFlags(fs *flag.FlagSet) {
	fs.VisitAll(func(f *flag.Flag) {
		dash := "--"
		if len(f.Name) == 1 {
			dash = "-"
		}
		fmt.Fprintf(a.stdout, "  %-18s %s\n", dash+f.Name, f.Usage)
	})
}

// globals registers the flags before the verb.
func (a *app) globals(fs *flag.FlagSet) {
	fs.StringVar(&a.root, "root", state.DefaultRoot, "directory for the state of containers")
	fs.StringVar(&a.logFile, "log", "", "file for log messages (default: standard error)")
	fs.StringVar(&a.logFormat, "log-format", "text", "format of log messages: text or json")
	fs.BoolVar(&a.debug, "debug", false, "log more, and keep the guest's whole console")
	fs.Bool("systemd-cgroup", false, "accepted for compatibility: cgroup paths of systemd's form are understood")
	fs.String("rootless", "auto", "accepted for compatibility")
	fs.String("criu", "", "accepted for compatibility")
	fs.StringVar(&a.config, "config", "", "configuration file")
	fs.StringVar(&a.isolation, "isolation", "", "least isolation to accept: hardware or software")
	fs.StringVar(&a.hypervisor, "hypervisor", "", "hypervisor to use, or auto")
}

// main runs one command line and returns its exit code.
func (a *app) main(args []string, verbs []verb) int {
	// What the caller left open is not for the processes that this one starts.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return a.fail(fmt.Errorf("close_range: %w", err))
	}
	fs := newFlags(a.name)
	a.globals(fs)
	version := fs.Bool("version", false, "print the version")
	fs.BoolVar(version, "v", false, "print the version")
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp) || (err == nil && fs.NArg() == 0 && !*version):
		a.usage(fs, verbs)
		return 0
	case err != nil:
		return a.fail(fmt.Errorf("%w; see %s --help", err, a.name))
	case *version:
		a.printVersion()
		return 0
	case a.logFormat != "text" && a.logFormat != "json":
		return a.fail(fmt.Errorf("--log-format %q: must be text or json", a.logFormat))
	}
	if err := a.openLog(); err != nil {
		return a.fail(err)
	}
	if fs.Arg(0) == "help" || fs.Arg(0) == "h" {
		return a.help(fs, verbs)
	}
	if v := find(verbs, fs.Arg(0)); v != nil {
		return a.runVerb(*v, fs.Args()[1:])
	}
	return a.unknown(fs.Arg(0))
}

func find(verbs []verb, name string) *verb {
	i := slices.IndexFunc(verbs, func(v verb) bool { return v.name == name })
	if i < 0 {
		return nil
	}
	return &verbs[i]
}

// help is the verb that prints the help of all, or of the one that is named.
func (a *app) help(fs *flag.FlagSet, verbs []verb) int {
	name := fs.Arg(1)
	if name == "" {
		a.usage(fs, verbs)
		return 0
	}
	if v := find(verbs, name); v != nil {
		return a.runVerb(*v, []string{"--help"})
	}
	return a.unknown(name)
}

// noCommand is runc's exit code for a command that there is not.
const noCommand = 3

func (a *app) unknown(name string) int {
	return a.fail(&codeError{fmt.Errorf("no command %q; see %s --help", name, a.name), noCommand})
}

// openLog makes sure that there will be a log: an engine that has asked for one looks
// there for what went wrong.
func (a *app) openLog() error {
	if a.logFile == "" {
		return nil
	}
	f, err := os.OpenFile(a.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		a.logFile = ""
		return fmt.Errorf("--log: %w", err)
	}
	return f.Close()
}

func (a *app) runVerb(v verb, args []string) int {
	err := v.run(a, args)
	if h, ok := errors.AsType[helpError](err); ok {
		fmt.Fprintf(a.stdout, "Usage: %s %s %s\n\n%s\n\n", a.name, v.name, v.usage, v.help)
		a.printFlags(h.flags)
		return 0
	}
	return a.fail(err)
}

func (a *app) printVersion() {
	fmt.Fprintf(a.stdout, "%s version %s\nspec: %s\n", a.name, Version, specVersion)
}

func (a *app) usage(fs *flag.FlagSet, verbs []verb) {
	fmt.Fprintf(a.stdout, "Usage: %s [global flags] COMMAND [flags] [arguments]\n\nCommands:\n", a.name)
	for _, v := range verbs {
		fmt.Fprintf(a.stdout, "  %-10s %s\n", v.name, v.help)
	}
	fmt.Fprintf(a.stdout, "\nGlobal flags:\n")
	a.printFlags(fs)
}

// fail reports err, if there is one, and returns the exit code that belongs to it.
func (a *app) fail(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[exitError](err); ok {
		return int(e)
	}
	a.log("error", oneLine(err.Error()))
	code := 1
	if e, ok := errors.AsType[*codeError](err); ok {
		code = e.code
	}
	if f, ok := errors.AsType[*proxy.Failure](err); ok {
		if f.Detail != "" && a.debug {
			fmt.Fprintln(a.stderr, f.Detail)
		}
		return max(code, f.ExitCode())
	}
	return code
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// log writes one message as runc does: to the log, in its format, and errors to
// standard error as well.
func (a *app) log(level, msg string) {
	var line string
	now := time.Now().Format(time.RFC3339)
	if a.logFormat == "json" {
		b, _ := json.Marshal(map[string]string{"level": level, "msg": msg, "time": now}) // strings always encode
		line = string(b)
	} else {
		line = fmt.Sprintf("time=%q level=%s msg=%q", now, level, msg)
	}
	if a.logFile == "" {
		if a.logFormat == "text" {
			line = fmt.Sprintf("%s: %s", a.name, msg)
			if level != "error" {
				line = fmt.Sprintf("%s: %s: %s", a.name, level, msg)
			}
		}
		fmt.Fprintln(a.stderr, line)
		return
	}
	if f, err := os.OpenFile(a.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err == nil {
		fmt.Fprintln(f, line)
		f.Close()
	}
	if level == "error" {
		fmt.Fprintln(a.stderr, msg)
	}
}

// noArguments reads the flags of a verb that takes nothing else.
func noArguments(fs *flag.FlagSet, args []string) error {
	if err := parse(fs, args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("%s: takes no arguments, got %q", fs.Name(), fs.Args())
	}
	return nil
}

// oneID reads the flags and the only argument of most verbs.
func oneID(fs *flag.FlagSet, args []string) (string, error) {
	if err := parse(fs, args); err != nil {
		return "", err
	}
	if fs.NArg() != 1 {
		return "", fmt.Errorf("%s: needs exactly one container id, got %d arguments", fs.Name(), fs.NArg())
	}
	return checkID(fs.Arg(0))
}

// helper finds one of the project's executables: beside this one, or where an
// installation puts what people do not call.
func helper(name string) (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(exe)
	looked := []string{filepath.Join(dir, name), filepath.Join(dir, "../libexec/kata", name)}
	for _, p := range looked {
		if fi, err := os.Stat(p); err == nil && fi.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s is not installed; looked for %s", name, strings.Join(looked, ", "))
}
