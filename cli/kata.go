package cli

import (
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kata/image"
	"kata/oci"
	"kata/sandbox/shim"
)

// kataVerbs are those of the command for people.
var kataVerbs = []verb{
	{"run", "[flags] (--rootfs DIR | --bundle DIR | IMAGE.tar) [COMMAND...]", "run a command in a container with a kernel of its own", kataRun},
	{"check", "[--json]", "say which machines work on this host, and why others do not", kataCheck},
	{"template", "(create | list | remove) [flags]", "save machines that others start from, list and remove them", kataTemplate},
	{"version", "", "print the version", func(a *app, _ []string) error { a.printVersion(); return nil }},
}

// Kata is the command line of kata; the result is its exit code.
func Kata(args []string) int {
	a := &app{name: "kata", stdout: os.Stdout, stderr: os.Stderr}
	return a.main(args, kataVerbs)
}

// dataRoot is where kata run keeps root filesystems that it unpacked.
const dataRoot = "/var/lib/kata"

// runFlags are those of kata run.
type runFlags struct {
	rm, interactive, tty, timing bool
	env, volumes                 list
	workdir, user, cpus, memory  string
	rootfs, bundle, id, data     string
	hostname, platform           string
}

func (f *runFlags) parse(a *app, args []string) ([]string, error) {
	fs := newFlags("run")
	fs.BoolVar(&f.rm, "rm", false, "remove the container, and what was unpacked for it, when it has ended")
	for _, n := range []string{"i", "interactive"} {
		fs.BoolVar(&f.interactive, n, false, "pass standard input on")
	}
	for _, n := range []string{"t", "tty"} {
		fs.BoolVar(&f.tty, n, false, "give it a terminal")
	}
	for _, n := range []string{"e", "env"} {
		fs.Var(&f.env, n, "environment variable, KEY=VALUE or KEY")
	}
	for _, n := range []string{"v", "volume"} {
		fs.Var(&f.volumes, n, "HOST:GUEST[:ro], a host directory or file in the container")
	}
	for _, n := range []string{"w", "workdir"} {
		fs.StringVar(&f.workdir, n, "", "working directory")
	}
	for _, n := range []string{"u", "user"} {
		fs.StringVar(&f.user, n, "", "USER[:GROUP], names or numbers")
	}
	for _, n := range []string{"m", "memory"} {
		fs.StringVar(&f.memory, n, "", "memory limit, such as 256m")
	}
	fs.StringVar(&f.cpus, "cpus", "", "CPU limit, such as 0.5")
	fs.StringVar(&f.rootfs, "rootfs", "", "directory to use as the root filesystem, as it is")
	fs.StringVar(&f.platform, "platform", "", "platform of the image or root filesystem, such as linux/arm64 (default: the host's)")
	fs.StringVar(&f.bundle, "bundle", "", "OCI bundle to run")
	fs.StringVar(&f.id, "name", "", "container id (default: a random one)")
	fs.StringVar(&f.hostname, "hostname", "", "host name (default: the id)")
	fs.StringVar(&f.data, "data", dataRoot, "directory for unpacked images")
	fs.BoolVar(&f.timing, "timing", false, "print what the start took and what the sandbox costs")
	a.choices(fs)
	if err := parse(fs, splitShort(fs, args, "it")); err != nil {
		return nil, err
	}
	return fs.Args(), nil
}

// splitShort writes "-it" as "-i -t" among the flags: one dash and only letters of
// set. It stops where the flags do, and passes over the flags' values.
func splitShort(fs *flag.FlagSet, args []string, set string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		name := strings.TrimLeft(args[i], "-")
		if name == args[i] || args[i] == "--" {
			return append(out, args[i:]...)
		}
		if strings.HasPrefix(args[i], "-"+name) && len(name) > 1 && strings.Trim(name, set) == "" {
			for _, letter := range name {
				out = append(out, "-"+string(letter))
			}
			continue
		}
		out = append(out, args[i])
		f := fs.Lookup(name)
		if f == nil || i+1 == len(args) {
			continue
		}
		if b, ok := f.Value.(interface{ IsBoolFlag() bool }); !ok || !b.IsBoolFlag() {
			i++
			out = append(out, args[i])
		}
	}
	return out
}

func kataRun(a *app, args []string) error {
	var f runFlags
	rest, err := f.parse(a, args)
	if err != nil {
		return err
	}
	if f.id == "" {
		f.id = "kata-" + strings.ToLower(rand.Text()[:10])
	}
	if err := oci.ValidID(f.id); err != nil {
		return err
	}
	if f.tty && !shim.IsTerminal(os.Stdin) {
		return errors.New("-t: standard input is not a terminal")
	}
	bundle, cleanup, err := f.prepare(rest)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := cleanup(); cerr != nil {
			a.log("warning", cerr.Error())
		}
	}()
	c := &createFlags{bundle: bundle, keep: !f.rm}
	k, err := a.create(f.id, c)
	if err != nil {
		return err
	}
	if !f.interactive && !f.tty {
		null := devNull()
		defer null.Close()
		os.Stdin = null
	}
	if f.timing {
		defer a.report(k)()
	}
	err = a.foreground(k, c)
	if !f.rm {
		a.log("info", fmt.Sprintf("container %s is kept; remove it with: kata-runtime delete %s", f.id, f.id))
	}
	return err
}

// prepare makes the bundle; cleanup removes what --rm removes.
func (f *runFlags) prepare(args []string) (bundle string, cleanup func() error, err error) {
	keep := func() error { return nil }
	if f.bundle != "" && f.rootfs != "" {
		return "", nil, errors.New("--bundle and --rootfs exclude each other")
	}
	if f.bundle == "" && f.rootfs == "" && len(args) == 0 {
		return "", nil, errors.New("what shall run? give --rootfs DIR, --bundle DIR or an IMAGE.tar")
	}
	work := filepath.Join(f.data, "containers", f.id)
	if err := os.MkdirAll(filepath.Dir(work), 0o700); err != nil {
		return "", nil, err
	}
	if err := os.Mkdir(work, 0o700); err != nil {
		return "", nil, fmt.Errorf("container %s: %w", f.id, err)
	}
	cleanup = keep
	if f.rm {
		cleanup = func() error { return os.RemoveAll(work) }
	}
	if err := f.makeBundle(work, args); err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(work))
	}
	return work, cleanup, nil
}

func (f *runFlags) makeBundle(work string, args []string) error {
	if f.bundle != "" {
		b, err := oci.Load(f.bundle)
		if err != nil {
			return err
		}
		b.Spec.Root.Path = b.Rootfs
		if err := f.setPlatform(b.Spec); err != nil {
			return err
		}
		if len(args) > 0 {
			b.Spec.Process.Args = args
		}
		return f.finish(b.Spec, work, b.Rootfs)
	}
	spec := defaultSpec()
	if err := f.setPlatform(spec); err != nil {
		return err
	}
	rootfs := f.rootfs
	var config image.Config
	if rootfs == "" {
		im, err := f.openImage(args[0])
		if err != nil {
			return err
		}
		rootfs = filepath.Join(work, "rootfs")
		if err := im.Unpack(rootfs); err != nil {
			return err
		}
		config, args = im.Config(), args[1:]
	}
	rootfs, err := filepath.Abs(rootfs)
	if err != nil {
		return err
	}
	config.Apply(spec, args)
	if f.user == "" {
		f.user = config.User
	}
	if len(spec.Process.Args) == 0 {
		spec.Process.Args = []string{"/bin/sh"}
	}
	return f.finish(spec, work, rootfs)
}
