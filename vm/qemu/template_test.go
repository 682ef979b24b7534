package qemu_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kata/network"
	"kata/vm"
	"kata/vm/qemu"
	"kata/vm/template"
	"kata/vm/vmtest"
)

// saved are the files of machines that start from templates in dir.
func saved(dir string) vmtest.Files {
	return files("template", "true", "template_dir", dir)
}

func TestTemplates(t *testing.T) {
	vmtest.Suite(t, qemu.Driver{}, saved(t.TempDir()+"/template"))
}

func TestClones(t *testing.T) {
	vmtest.Clones(t, qemu.Driver{}, saved(t.TempDir()+"/template"), 50, false)
}

// spec is a machine that starts from a template in dir.
func spec(t *testing.T, dir string) vm.Spec {
	f := saved(dir)
	return vm.Spec{Name: "template", Dir: t.TempDir(), Kernel: f.Kernel, Agent: f.Agent, MemoryMiB: 128, VCPUs: 1, Options: f.Options}
}

// start starts a machine, waits until its agent speaks, and returns what is to be told
// about it.
func start(t *testing.T, s vm.Spec) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), vmtest.Patience)
	defer cancel()
	m, err := qemu.Driver{}.Start(ctx, s)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() { m.Kill(); <-m.Done(); m.Channel().Close() })
	if _, err := m.Channel().Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return m.(vm.Noted).Notes()
}

func ids(t *testing.T, dir string) (list []string) {
	t.Helper()
	all, err := template.NewStore(dir).List()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Problem == "" {
			list = append(list, i.ID)
		}
	}
	return list
}

// TestTemplateIsMadeAnew: whatever is wrong with a template, the next machine starts,
// from one that was made since.
func TestTemplateIsMadeAnew(t *testing.T) {
	dir := t.TempDir() + "/template"
	agent := t.TempDir() + "/agent"
	copyFile(t, guest+"kata-agent", agent)
	s := spec(t, dir)
	s.Agent = agent
	start(t, s)
	for name, spoil := range map[string]func(of string) error{
		"memory truncated": func(of string) error { return os.Truncate(of+"/"+template.Memory, 64<<20) },
		"state truncated":  func(of string) error { return os.Truncate(of+"/"+template.State, 1000) },
		"another agent":    func(string) error { now := time.Now(); return os.Chtimes(agent, now, now) },
	} {
		t.Run(name, func(t *testing.T) {
			list := ids(t, dir)
			if len(list) != 1 {
				t.Fatalf("templates: %q", list)
			}
			before := made(t, dir)
			if err := spoil(filepath.Join(dir, list[0])); err != nil {
				t.Fatal(err)
			}
			if list := ids(t, dir); len(list) != 0 {
				t.Errorf("%q is said to be good", list)
			}
			s := s
			s.Dir = t.TempDir()
			if notes := start(t, s); len(notes) > 0 {
				t.Errorf("notes: %q", notes)
			}
			if len(ids(t, dir)) != 1 || !made(t, dir).After(before) {
				t.Error("it is the same template as before")
			}
		})
	}
}

// made is when the only template in dir was made.
func made(t *testing.T, dir string) time.Time {
	t.Helper()
	list, err := template.NewStore(dir).List()
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	return list[0].Created
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestNoSpace: the machine boots and says why; to save it explicitly is an error.
func TestNoSpace(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=20m,mode=700"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	s := spec(t, dir)
	if notes := start(t, s); len(notes) != 1 || !strings.Contains(notes[0], "no space") || !strings.Contains(notes[0], "template_dir") {
		t.Errorf("notes: %q", notes)
	}
	if _, err := (qemu.Driver{}).SaveTemplate(t.Context(), s); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("it was saved: %v", err)
	}
	nothingHalf(t, dir)
}

// nothingHalf checks that there is no template that is not whole.
func nothingHalf(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	good := ids(t, dir)
	for _, e := range entries {
		if e.IsDir() && !strings.Contains(strings.Join(good, " "), e.Name()) {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// killedMark has the test's program be one that saves a template in that directory.
const killedMark = "KATA_TEST_SAVE"

// TestKilledCreation kills who makes a template at several moments. Nobody sees half of
// one; the next who asks makes it, and nothing is left of the first.
func TestKilledCreation(t *testing.T) {
	if dir := os.Getenv(killedMark); dir != "" {
		if _, err := (qemu.Driver{}).SaveTemplate(t.Context(), spec(t, dir)); err != nil {
			t.Fatal(err)
		}
		return
	}
	dir := t.TempDir() + "/template"
	for _, moment := range []string{template.Memory, template.State} {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestKilledCreation$")
		cmd.Env = append(os.Environ(), killedMark+"="+dir)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(vmtest.Patience); ; time.Sleep(time.Millisecond) {
			if found, _ := filepath.Glob(dir + "/*/" + moment); len(found) > 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("no file %s: %s", moment, &out)
			}
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if list := ids(t, dir); len(list) > 0 {
			t.Fatalf("half a template is said to be good: %q", list)
		}
	}
	if notes := start(t, spec(t, dir)); len(notes) > 0 {
		t.Errorf("notes: %q", notes)
	}
	nothingHalf(t, dir)
}

// TestRemoveWhileRunning removes a template from below a machine.
func TestRemoveWhileRunning(t *testing.T) {
	dir := t.TempDir() + "/template"
	vmtest.Undisturbed(t, qemu.Driver{}, saved(dir), func() {
		if err := template.NewStore(dir).Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		if list := ids(t, dir); len(list) > 0 {
			t.Fatalf("it is still there: %q", list)
		}
	})
}

// TestSavedNetwork: network devices are part of what is saved.
func TestSavedNetwork(t *testing.T) {
	dir := t.TempDir() + "/template"
	s := spec(t, dir)
	for i := range network.Count(1) {
		s.NICs = append(s.NICs, vm.NIC{MAC: network.FirstMAC(i)})
	}
	with, err := qemu.Driver{}.SaveTemplate(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	s.NICs = nil
	without, err := qemu.Driver{}.SaveTemplate(t.Context(), s)
	if err != nil || with == without {
		t.Errorf("with %s and without %s, %v", with, without, err)
	}
	if list := ids(t, dir); len(list) != 2 {
		t.Errorf("templates: %q", list)
	}
}
