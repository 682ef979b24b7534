package qemu_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kata/check"
	"kata/sandbox"
	"kata/vm"
	"kata/vm/qemu"
	"kata/vm/virtiofsd"
	"kata/vm/vmtest"
)

func withVirtiofs(machine string) vmtest.Files {
	return files("share", "virtiofs", "machine", machine)
}

func TestVirtiofs(t *testing.T) { vmtest.Suite(t, qemu.Driver{}, withVirtiofs("microvm")) }

// savedWithVirtiofs are machines that start from templates.
func savedWithVirtiofs(t *testing.T, machine string) vmtest.Files {
	f := withVirtiofs(machine)
	f.Options["template"], f.Options["template_dir"] = "true", t.TempDir()+"/template"
	return f
}

func TestVirtiofsTemplates(t *testing.T) {
	vmtest.Suite(t, qemu.Driver{}, savedWithVirtiofs(t, "microvm"))
}

// TestVirtiofsClones: each has memory of its own, and the template's stays as it was.
func TestVirtiofsClones(t *testing.T) {
	for _, machine := range []string{"microvm", "q35"} {
		t.Run(machine, func(t *testing.T) {
			f := savedWithVirtiofs(t, machine)
			vmtest.Clones(t, qemu.Driver{}, f, 4, true)
			if list := ids(t, f.Options["template_dir"]); len(list) != 1 {
				t.Errorf("good templates: %q", list)
			}
		})
	}
}

func TestQ35Virtiofs(t *testing.T) { vmtest.Suite(t, qemu.Driver{}, withVirtiofs("q35")) }

func TestVirtiofsReturnsMemory(t *testing.T) {
	for name, f := range ways(t) {
		t.Run(name, func(t *testing.T) { vmtest.ReturnsMemory(t, qemu.Driver{}, f) })
	}
}

// ways are the two ways in which a machine starts.
func ways(t *testing.T) map[string]vmtest.Files {
	return map[string]vmtest.Files{"booted": withVirtiofs("microvm"), "from a template": savedWithVirtiofs(t, "microvm")}
}

// another puts a program in the place of the host's virtiofsd.
func another(t *testing.T, mode string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "virtiofsd")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-X 'main.mode="+mode+"'", "-o", path, "kata/vm/vmtest/daemon")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	saved := virtiofsd.Places
	virtiofsd.Places = []string{path}
	t.Cleanup(func() { virtiofsd.Places = saved })
	return path
}

// boot starts a machine with virtiofs.
func boot(t *testing.T, f vmtest.Files, patience time.Duration) (*sandbox.Sandbox, error) {
	t.Helper()
	caps, err := qemu.Driver{}.Probe(f.Options)
	if err != nil {
		t.Fatal(err)
	}
	return sandbox.Boot(t.Context(), sandbox.Options{Driver: qemu.Driver{}, Capabilities: caps, Hostname: "guest", BootTimeout: patience,
		Machine: vm.Spec{Name: "virtiofs", Dir: t.TempDir(), Kernel: f.Kernel, Agent: f.Agent, MemoryMiB: 128, VCPUs: 1, Options: f.Options}})
}

// TestDaemonEnds: a machine does not outlive the daemon that serves its files, and the
// error says which of them ended first, and how.
func TestDaemonEnds(t *testing.T) {
	for name, f := range ways(t) {
		t.Run(name, func(t *testing.T) { daemonEnds(t, f) })
	}
}

func daemonEnds(t *testing.T, f vmtest.Files) {
	sb, err := boot(t, f, vmtest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer sb.Stop()
	beside := vmtest.Beside(t, sb)
	if len(beside) != 2 {
		t.Fatalf("processes beside the monitor: %v, want those of one jail", beside)
	}
	if err := unix.Kill(beside[1], unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-sb.Done()
	if err := sb.PowerOff(time.Second); err == nil || !strings.Contains(err.Error(), "virtiofsd ended: killed by signal 9") {
		t.Errorf("%v", err)
	}
}

// TestMonitorEnds: that its daemon then ends, too, is no reason.
func TestMonitorEnds(t *testing.T) {
	for name, f := range ways(t) {
		t.Run(name, func(t *testing.T) { monitorEnds(t, f) })
	}
}

func monitorEnds(t *testing.T, f vmtest.Files) {
	sb, err := boot(t, f, vmtest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer sb.Stop()
	if err := unix.Kill(sb.MachinePID(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-sb.Done()
	if err := sb.PowerOff(time.Second); err == nil || strings.Contains(err.Error(), "virtiofsd") || !strings.Contains(err.Error(), "killed by signal 9") {
		t.Errorf("%v", err)
	}
	if left := vmtest.Beside(t, sb); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}

// TestDaemonDoesNotStart: it ends at once, with a last word.
func TestDaemonDoesNotStart(t *testing.T) {
	another(t, "fail")
	for name, f := range ways(t) {
		t.Run(name, func(t *testing.T) { daemonFails(t, f) })
	}
}

func daemonFails(t *testing.T, f vmtest.Files) {
	sb, err := boot(t, f, vmtest.Patience)
	if err == nil {
		sb.Stop()
	}
	if _, ok := errors.AsType[*vm.BootError](err); !ok || !strings.Contains(err.Error(), `virtiofsd ended: exit code 3 (it said "no serving today")`) {
		t.Errorf("%v", err)
	}
}

// TestDaemonHangs: QEMU waits for it, and nobody for ever.
func TestDaemonHangs(t *testing.T) {
	another(t, "hang")
	for name, f := range ways(t) {
		t.Run(name, func(t *testing.T) { daemonHangs(t, f) })
	}
}

func daemonHangs(t *testing.T, f vmtest.Files) {
	if f.Options["template"] == "true" {
		s := vm.Spec{Name: "virtiofs", Kernel: f.Kernel, Agent: f.Agent, MemoryMiB: 128, VCPUs: 1, Options: f.Options}
		if _, err := (qemu.Driver{}).SaveTemplate(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	sb, err := boot(t, f, time.Second)
	if err == nil {
		sb.Stop()
	}
	if !errors.Is(err, vm.ErrBootTimeout) {
		t.Errorf("%v", err)
	}
}

// TestUnusableDaemon: what is said of a host where none works.
func TestUnusableDaemon(t *testing.T) {
	path := another(t, "lie")
	options := withVirtiofs("").Options
	for i, kind := range []check.Kind{check.ProgramBroken, check.ProgramAbsent} {
		cause := []string{path + " is no virtiofsd", "virtiofsd is none of " + path}[i]
		_, err := qemu.Driver{}.Probe(options)
		u, ok := errors.AsType[*vm.Unavailable](err)
		if !ok || u.Kind != kind || !strings.Contains(u.Cause, cause) || !strings.Contains(u.Remedy, "9p") {
			t.Errorf("%s: %+v", kind, err)
		}
		_ = os.Remove(path) // and once more, without
	}
	if _, err := (qemu.Driver{}).Probe(map[string]string{"accelerator": "tcg", "share": "9p"}); err != nil {
		t.Errorf("without virtiofs: %v", err)
	}
}
