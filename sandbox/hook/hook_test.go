package hook

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func sh(script string) specs.Hook {
	return specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", script}}
}

func TestRunInOrderWithState(t *testing.T) {
	dir := t.TempDir()
	st := &specs.State{Version: specs.Version, ID: "c", Status: specs.StateCreating, Pid: 42, Bundle: dir, Annotations: map[string]string{"k": "v"}}
	second := sh(`echo "$0 $A $PATH" >> order`)
	second.Args, second.Env = []string{"sh", "-c", `echo "$0 $A $PATH" >> order`, "name"}, []string{"A=a"}
	if err := Run("prestart", []specs.Hook{sh("cat > state; pwd > order"), second}, st); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	var got specs.State
	if err := json.Unmarshal(raw, &got); err != nil || got.ID != "c" || got.Pid != 42 || got.Status != specs.StateCreating || got.Annotations["k"] != "v" {
		t.Errorf("state is %s, %v", raw, err)
	}
	order, err := os.ReadFile(filepath.Join(dir, "order"))
	// A shell without PATH has a default of its own; it does not export it.
	if lines := strings.Split(string(order), "\n"); err != nil || lines[0] != dir || !strings.HasPrefix(lines[1], "name a ") {
		t.Errorf("order is %q, %v", order, err)
	}
}

func TestFailureStopsAndNamesTheHook(t *testing.T) {
	dir := t.TempDir()
	hooks := []specs.Hook{sh("true"), sh("echo out; echo err >&2; exit 3"), sh("touch third")}
	err := Run("createRuntime", hooks, &specs.State{Bundle: dir})
	if want := "error running createRuntime hook #1: exit status 3, stdout: out\n, stderr: err\n"; err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "third")); err == nil {
		t.Error("a hook ran after one that failed")
	}
	if err := RunAll("poststop", hooks, &specs.State{Bundle: dir}); err == nil || !strings.Contains(err.Error(), "poststop hook #0: exit status 3") {
		t.Errorf("RunAll returned %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "third")); err != nil {
		t.Error("RunAll stopped at a failure")
	}
	if err := Run("prestart", []specs.Hook{{Path: "/no/such/hook"}}, &specs.State{}); err == nil || !strings.Contains(err.Error(), "/no/such/hook") {
		t.Errorf("a missing hook: %v", err)
	}
}

func TestTimeout(t *testing.T) {
	slow, one := sh("sleep 100"), 1
	slow.Timeout = &one
	begin := time.Now()
	err := Run("prestart", []specs.Hook{slow}, &specs.State{})
	if err == nil || !strings.Contains(err.Error(), "hook ran past specified timeout of 1.0s") {
		t.Errorf("error is %v", err)
	}
	if d := time.Since(begin); d < time.Second || d > 20*time.Second {
		t.Errorf("the timeout of a second came after %v", d)
	}
}

// What a hook leaves running must not hold the container up.
func TestDaemon(t *testing.T) {
	begin := time.Now()
	if err := Run("prestart", []specs.Hook{sh("sleep 5 &")}, &specs.State{}); err != nil {
		t.Error(err)
	}
	if d := time.Since(begin); d > 4*time.Second {
		t.Errorf("waited %v for a process that the hook left behind", d)
	}
}

func TestOutputIsBounded(t *testing.T) {
	err := Run("prestart", []specs.Hook{sh("head -c 1000000 /dev/zero | tr '\\0' x; exit 1")}, &specs.State{})
	if err == nil || len(err.Error()) > maxOutput+1000 {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
}
