// Package vmtest is what every driver of package vm must pass: a test of a driver
// calls Suite with a guest to boot. It tests what vm.Driver and vm.Machine promise
// and what the sandbox above relies on; it does not measure, and it does not test
// what only one driver has.
package vmtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kata/oci"
	"kata/sandbox"
	"kata/sandbox/compile"
	"kata/vm"
)

// Files are the guest that Suite boots.
type Files struct {
	Kernel, Agent string
	// Options are the driver's own settings.
	Options map[string]string
}

// Patience bounds everything that must happen; nothing depends on how fast it does.
const Patience = 2 * time.Minute

// memoryMiB is the guest's memory, unless a test is about it.
const memoryMiB = 128

type suite struct {
	driver vm.Driver
	files  Files
	caps   vm.Capabilities
}

// Suite runs all tests as subtests of t. It needs root and a static /bin/busybox.
func Suite(t *testing.T, d vm.Driver, files Files) {
	t.Helper()
	for _, f := range []string{files.Kernel, files.Agent} {
		if _, err := os.Stat(f); err != nil {
			t.Fatalf("%v: run \"make guest\" first", err)
		}
	}
	s := &suite{driver: d, files: files}
	caps, err := d.Probe(files.Options)
	if err != nil {
		t.Fatalf("the driver does not work on this host: %v", err)
	}
	s.caps = caps
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"Probe", s.probe}, {"Hello", s.hello}, {"Memory", s.memory}, {"Shares", s.shares}, {"Separate", s.separate},
		{"HotShares", s.hotShares}, {"HotMemory", s.hotMemory}, {"HotCPUs", s.hotCPUs}, {"Disks", s.disks}, {"HotDisks", s.hotDisks}, {"Transfer", s.transfer}, {"VCPUs", s.vcpus}, {"Console", s.console}, {"Clock", s.clock}, {"Kill", s.kill}, {"PowerOff", s.powerOff}, {"Cancel", s.cancel},
		{"BadKernel", s.badKernel}, {"BadAgent", s.badAgent}, {"Timeout", s.timeout},
	} {
		t.Run(test.name, test.run)
	}
}

func (s *suite) spec(t *testing.T) vm.Spec {
	t.Helper()
	return vm.Spec{
		Name: "vmtest", Dir: t.TempDir(), Kernel: s.files.Kernel, Agent: s.files.Agent,
		MemoryMiB: memoryMiB, VCPUs: 1, Options: s.files.Options,
	}
}

func (s *suite) options(spec vm.Spec) sandbox.Options {
	return sandbox.Options{Driver: s.driver, Capabilities: s.caps, Machine: spec, Hostname: "guest", BootTimeout: Patience}
}

func (s *suite) boot(t *testing.T, spec vm.Spec) *sandbox.Sandbox {
	t.Helper()
	sb, err := sandbox.Boot(t.Context(), s.options(spec))
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(sb.Stop)
	return sb
}

// bootError boots what must fail.
func (s *suite) bootError(t *testing.T, o sandbox.Options, phases ...vm.Phase) *vm.BootError {
	t.Helper()
	sb, err := sandbox.Boot(t.Context(), o)
	if err == nil {
		sb.Stop()
		t.Fatal("the machine booted")
	}
	b, ok := errors.AsType[*vm.BootError](err)
	if !ok {
		t.Fatalf("%T, want a BootError: %v", err, err)
	}
	for _, p := range phases {
		if b.Phase == p {
			noDescendants(t, os.Getpid())
			return b
		}
	}
	t.Fatalf("phase %q, want one of %q: %v", b.Phase, phases, err)
	return nil
}

// container compiles a container of busybox that runs a shell script. Its mounts
// and root are then shares of a machine.
func container(t *testing.T, id, script string, change func(*oci.Bundle)) *compile.Container {
	t.Helper()
	dir := t.TempDir()
	rootfs := filepath.Join(dir, "rootfs")
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("%v: install a static busybox", err)
	}
	if err := os.MkdirAll(rootfs+"/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"proc", "sys", "dev", "tmp"} {
		if err := os.Mkdir(rootfs+"/"+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(rootfs+"/bin/busybox", busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sh", "cat", "head", "sha256sum", "nproc", "hostname", "sleep", "grep"} {
		if err := os.Symlink("busybox", rootfs+"/bin/"+name); err != nil {
			t.Fatal(err)
		}
	}
	b := &oci.Bundle{Dir: dir, Spec: oci.DefaultSpec(), Rootfs: rootfs}
	b.Spec.Process.Args = []string{"/bin/sh", "-c", script}
	b.Spec.Process.Terminal, b.Spec.Root.Readonly = false, false
	if change != nil {
		change(b)
	}
	c, err := compile.New(id, b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// start creates and starts a container.
func start(t *testing.T, sb *sandbox.Sandbox, c *compile.Container) sandbox.Stdio {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	stdio, err := sb.Create(ctx, &c.Request)
	if err != nil {
		t.Fatalf("create: %v\n%s", err, sb.Console())
	}
	t.Cleanup(stdio.Close)
	if err := sb.Start(ctx, c.Request.ID); err != nil {
		t.Fatalf("start: %v", err)
	}
	return stdio
}

// run runs a container to its end and returns what it wrote.
func run(t *testing.T, sb *sandbox.Sandbox, c *compile.Container) string {
	t.Helper()
	stdio := start(t, sb, c)
	_ = stdio[0].CloseWrite()
	stop := time.AfterFunc(Patience, sb.Stop)
	defer stop.Stop()
	var out, errOut strings.Builder
	done := make(chan error, 1)
	go func() { done <- drain(&errOut, stdio[2]) }()
	if err := errors.Join(drain(&out, stdio[1]), <-done); err != nil {
		t.Fatalf("output of %s: %v", c.Request.ID, err)
	}
	status, _, err := sb.Wait(c.Request.ID, "")
	if err != nil || status != 0 {
		t.Fatalf("status %d, %v: %s%s", status, err, &out, &errOut)
	}
	return out.String()
}
