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
	return vmtest.Files{Kernel: guest + "linux-x86_64", Agent: guest + "kata-agent",
		Options: map[string]string{"accelerator": "tcg", "share": "virtiofs", "machine": machine}}
}

func TestVirtiofs(t *testing.T) { vmtest.Suite(t, qemu.Driver{}, withVirtiofs("microvm")) }

func TestQ35Virtiofs(t *testing.T) { vmtest.Suite(t, qemu.Driver{}, withVirtiofs("q35")) }

func TestVirtiofsReturnsMemory(t *testing.T) {
	vmtest.ReturnsMemory(t, qemu.Driver{}, withVirtiofs("microvm"))
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

// boot boots a machine with virtiofs.
func boot(t *testing.T, patience time.Duration) (*sandbox.Sandbox, error) {
	t.Helper()
	f := withVirtiofs("microvm")
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
	sb, err := boot(t, vmtest.Patience)
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
	sb, err := boot(t, vmtest.Patience)
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
	sb, err := boot(t, vmtest.Patience)
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
	sb, err := boot(t, time.Second)
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
