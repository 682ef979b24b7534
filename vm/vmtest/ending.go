package vmtest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kata/sandbox"
	"kata/vm"
)

// ended fails the test unless the machine and all its processes are gone.
func ended(t *testing.T, m interface{ Done() <-chan struct{} }) {
	t.Helper()
	select {
	case <-m.Done():
	case <-time.After(Patience):
		t.Fatal("the machine does not end")
	}
}

func (s *suite) kill(t *testing.T) {
	c := container(t, "sleeper", "sleep 1000 & echo ready; sleep 1000", nil)
	spec := s.spec(t)
	spec.Shares = c.Shares
	sb := s.boot(t, spec)
	stdio := start(t, sb, c)
	if _, err := stdio[1].Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	processes := identify(append(descendants(t, sb.MachinePID()), sb.MachinePID()))
	if len(processes) == 0 {
		t.Fatal("the machine has no process")
	}
	status := make(chan int, 1)
	go func() {
		n, _, _ := sb.Wait("sleeper", "")
		status <- n
	}()
	sb.Stop()
	sb.Stop() // again is harmless
	ended(t, sb)
	for _, p := range processes {
		if p.Alive() {
			t.Errorf("process %d is left", p.PID)
		}
	}
	select {
	case n := <-status:
		if n != 137 {
			t.Errorf("the container's status is %d, want 137", n)
		}
	case <-time.After(Patience):
		t.Error("Wait does not return")
	}
	if _, err := stdio[1].Read(make([]byte, 1)); err == nil {
		t.Error("the container's output goes on")
	}
	noDescendants(t, os.Getpid())
}

func (s *suite) cancel(t *testing.T) {
	t.Run("driver", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m, err := s.driver.Start(ctx, s.spec(t))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		ended(t, m)
		if m.Err() == nil {
			t.Error("the machine was killed, and Err says nothing")
		}
		m.Kill() // too late, harmless
		m.Channel().Close()
		noDescendants(t, os.Getpid())
	})
	t.Run("owner", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		spec := s.spec(t)
		spec.Agent = mute(t) // so that the boot does not win
		time.AfterFunc(100*time.Millisecond, cancel)
		sb, err := sandbox.Boot(ctx, s.options(spec))
		if err == nil {
			sb.Stop()
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want Canceled", err)
		}
		noDescendants(t, os.Getpid())
	})
}

func (s *suite) badKernel(t *testing.T) {
	dir := t.TempDir()
	whole, err := os.ReadFile(s.files.Kernel)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) string {
		f := filepath.Join(dir, name)
		if err := os.WriteFile(f, b, 0o755); err != nil {
			t.Fatal(err)
		}
		return f
	}
	tests := []struct {
		name, kernel string
		phases       []vm.Phase
	}{
		{"missing", dir + "/missing", []vm.Phase{vm.PhasePrepare}},
		{"text", write("text", []byte("this is no kernel, whatever its name says\n")), []vm.Phase{vm.PhasePrepare, vm.PhaseVMM}},
		{"empty", write("empty", nil), []vm.Phase{vm.PhasePrepare, vm.PhaseVMM}},
		{"truncated", write("truncated", whole[:len(whole)/2]), []vm.Phase{vm.PhasePrepare, vm.PhaseVMM, vm.PhaseKernel}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := s.spec(t)
			spec.Kernel = tt.kernel
			t.Log(s.bootError(t, s.options(spec), tt.phases...))
		})
	}
}

func (s *suite) badAgent(t *testing.T) {
	file := t.TempDir() + "/agent"
	if err := os.WriteFile(file, []byte("this is no program\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	spec := s.spec(t)
	spec.Agent = file
	err := s.bootError(t, s.options(spec), vm.PhaseKernel, vm.PhaseAgent)
	if !strings.Contains(err.Console, "Kernel panic") || !strings.Contains(err.Error(), "Kernel panic") {
		t.Errorf("the kernel's panic is missing: %+v", err)
	}
}

func (s *suite) timeout(t *testing.T) {
	spec := s.spec(t)
	spec.Agent = mute(t)
	o := s.options(spec)
	o.BootTimeout = 2 * time.Second
	err := s.bootError(t, o, vm.PhaseKernel)
	if !errors.Is(err, vm.ErrBootTimeout) {
		t.Errorf("%v, want ErrBootTimeout", err)
	}
}

// mute builds an agent that runs and never says anything.
func mute(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	const program = "package main\n\nimport \"time\"\n\nfunc main() {\n\tfor {\n\t\ttime.Sleep(time.Hour)\n\t}\n}\n"
	for name, text := range map[string]string{"main.go": program, "go.mod": "module mute\n\ngo 1.26\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "build", "-o", "agent", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return filepath.Join(dir, "agent")
}
