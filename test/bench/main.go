// Command bench measures kata-runtime beside other OCI runtimes in one run and on
// one machine, and checks the numbers that the project promises.
//
// It measures start, idle memory, exec, commands on running containers, basic
// operations of the container's kernel, the network between a container and its host,
// and emulated machines with their files and networks; it does not measure engines, and it never touches a process or
// container that it did not start.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	goruntime "runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// options are the command line.
type options struct {
	n              int
	only           map[string]bool
	quick, check   bool
	json, svg      string
	bin, isolation string
	accelerator    string
	busybox        string
	runtimes       []string
	ioMiB          int
}

// sections are the values of -only.
var sections = []string{"start", "memory", "exec", "control", "micro", "network", "emulated", "devices"}

// namespaceMark is set in the environment of the process after it has entered its
// own mount namespace.
const namespaceMark = "KATA_BENCH_NAMESPACE"

func main() {
	o, err := parseFlags(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ok, err := run(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if !ok && o.check {
		os.Exit(1)
	}
}

// parseFlags reads and checks the command line.
func parseFlags(args []string) (*options, error) {
	o := &options{only: map[string]bool{}}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.IntVar(&o.n, "n", 20, "`number` of whole commands to measure")
	only := fs.String("only", strings.Join(sections, ","), "`sections` to run")
	fs.BoolVar(&o.quick, "quick", false, "few samples: shows that everything works, the figures are rough")
	fs.BoolVar(&o.check, "check", false, "exit with 1 when a number that must hold does not")
	fs.StringVar(&o.json, "json", "", "write the report as JSON to `file`")
	fs.StringVar(&o.svg, "svg", "", "write a bar chart of the ratios to `file`")
	fs.StringVar(&o.bin, "bin", "bin", "`directory` of kata-runtime")
	fs.StringVar(&o.isolation, "isolation", "software", "kata-runtime's --isolation")
	fs.StringVar(&o.accelerator, "accelerator", emulation, "QEMU's `accelerator` in the sections emulated and devices: tcg, or kvm with -isolation hardware")
	fs.StringVar(&o.busybox, "busybox", "/bin/busybox", "static busybox `program` for the containers")
	fs.IntVar(&o.ioMiB, "io-mib", 128, "size of the file for sequential I/O, in `MiB`")
	names := fs.String("runtimes", "kata,runc,crun,runsc", "`names` to compare; also runsc-ptrace, runsc-disk (no overlay in memory)")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if o.n < 1 || o.ioMiB < 1 {
		return nil, errors.New("-n and -io-mib must be at least 1")
	}
	for _, s := range strings.Split(*only, ",") {
		if !slices.Contains(sections, s) {
			return nil, fmt.Errorf("unknown section %q, want one of %s", s, strings.Join(sections, ", "))
		}
		o.only[s] = true
	}
	o.runtimes = strings.Split(*names, ",")
	return o, nil
}

// run does everything and reports whether all numbers held.
func run(o *options) (bool, error) {
	if os.Geteuid() != 0 {
		return false, errors.New("needs root: the runtimes make namespaces and mounts")
	}
	if err := hideHybrid(); err != nil {
		return false, err
	}
	found, missing, err := findRuntimes(o.runtimes, o.bin, o.isolation)
	if err != nil {
		return false, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	s, err := newSession()
	if err != nil {
		return false, err
	}
	rep := &report{Facts: gatherFacts()}
	rep.Facts.Missing = missing
	for _, r := range found {
		rep.Facts.Runtimes = append(rep.Facts.Runtimes, fmt.Sprintf("%s: %s: %s", r.name, r.path, r.version()))
	}
	err = measure(ctx, o, s, rep, found)
	leftovers := 0
	for _, l := range s.close() {
		rep.note("%s", l.text)
		if l.name == kata || l.name == "" {
			leftovers++
		}
	}
	if err == nil && ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if err != nil {
		return false, errors.Join(err, errors.New(strings.Join(rep.Notes, "; ")))
	}
	rep.Columns = rep.columns(append(slices.Clone(o.runtimes), native))
	isMissing := func(name string) bool {
		return !slices.ContainsFunc(found, func(r *runtime) bool { return r.name == name })
	}
	if o.accelerator != emulation {
		delete(o.only, "emulated") // its limits are
	}
	rep.Verdicts = judge(rep, o.only, isMissing, leftovers)
	compare(rep)
	rep.print(os.Stdout)
	return !failed(rep.Verdicts), writeFiles(o, rep)
}

// measure runs the chosen sections.
func measure(ctx context.Context, o *options, s *session, rep *report, found []*runtime) error {
	probeArgs := []string{"-io-mib", fmt.Sprint(o.ioMiB)}
	b := &bench{session: s, out: rep, runtimes: found, n: o.n, many: 20, repeats: 3, settle: 2 * time.Second, quick: o.quick, accelerator: o.accelerator}
	quiet, netArgs := time.Second, networkArgs(time.Second, 1000)
	if o.quick {
		b.n, b.many, b.repeats, b.settle, quiet = min(o.n, 3), 3, 1, 500*time.Millisecond, 200*time.Millisecond
		probeArgs = []string{"-io-mib", "16", "-forks", "10"}
		netArgs = networkArgs(300*time.Millisecond, 200)
		rep.note("-quick: few samples, the figures are rough")
	}
	b.progress = func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	var err error
	if b.bundles, err = makeBundles(ctx, s.dir, o.busybox, probeArgs); err != nil {
		return err
	}
	rep.Facts.LoadBefore, rep.Facts.IdleBefore = load(), idle(quiet)
	for _, section := range sections {
		if !o.only[section] || ctx.Err() != nil {
			continue
		}
		switch section {
		case "start":
			b.start(ctx)
		case "memory":
			b.memory(ctx)
		case "exec":
			b.execLatency(ctx)
		case "control":
			b.control(ctx)
		case "micro":
			b.micro(ctx, probeArgs)
		case "network":
			b.network(ctx, netArgs)
		case "emulated":
			b.emulated(ctx)
		case "devices":
			b.devices(ctx, netArgs)
		}
	}
	rep.Facts.LoadAfter, rep.Facts.IdleAfter = load(), idle(quiet)
	if rep.Facts.IdleBefore < 95 {
		rep.note("the machine was busy before the run: take the figures with care")
	}
	return nil
}

// writeFiles writes what -json and -svg ask for.
func writeFiles(o *options, rep *report) error {
	if o.json != "" {
		data, err := json.MarshalIndent(rep, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.json, append(data, '\n'), 0o644); err != nil {
			return err
		}
	}
	if o.svg == "" {
		return nil
	}
	f, err := os.Create(o.svg)
	if err != nil {
		return err
	}
	return errors.Join(writeSVG(f, rep), f.Close())
}

// hideHybrid restarts the program in a private mount namespace without the
// unified cgroup hierarchy if the host has it beside version 1: crun refuses such
// a mixture. All runtimes then see the same.
func hideHybrid() error {
	const unified = "/sys/fs/cgroup/unified"
	var st unix.Statfs_t
	if os.Getenv(namespaceMark) != "" || unix.Statfs(unified, &st) != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		return nil
	}
	// The namespace belongs to this thread until the exec makes it the process'.
	goruntime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Unmount(unified, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", unified, err)
	}
	return unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), namespaceMark+"=1"))
}
