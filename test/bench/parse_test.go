package main

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestParseFlags(t *testing.T) {
	o, err := parseFlags([]string{"-n", "5", "-only", "start,exec", "-quick", "-check", "-runtimes", "runc,crun"})
	if err != nil {
		t.Fatal(err)
	}
	if o.n != 5 || !o.quick || !o.check || !o.only["start"] || o.only["micro"] || len(o.only) != 2 || !slices.Equal(o.runtimes, []string{"runc", "crun"}) {
		t.Errorf("got %+v", o)
	}
	for _, bad := range [][]string{{"-only", "net"}, {"-n", "0"}, {"x"}, {"-io-mib", "-1"}} {
		if _, err := parseFlags(bad); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
}

func TestParseState(t *testing.T) {
	s, err := parseState([]byte(`{"ociVersion":"1.0.2","id":"a","status":"running","pid":7,"kata":{
		"isolation":"software","hypervisor":"uml","sandbox":"a","agent_rss_kib":9000,
		"timings":{"boot_ms":41.5,"prepare_ms":2},"pids":{"proxy":5,"shim":7,"vmm":6,"none":0}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if s.Kata.Timings["boot_ms"] != 41.5 || s.Kata.AgentRSS != 9000 || s.Kata.Isolation != "software" {
		t.Errorf("got %+v", s.Kata)
	}
	if got := s.roots(); !slices.Equal(got, []int{5, 6, 7, 7}) {
		t.Errorf("roots %v", got)
	}
	if s, err := parseState([]byte(`{"pid":3}`)); err != nil || s.Kata != nil || !slices.Equal(s.roots(), []int{3}) {
		t.Errorf("a peer: %+v, %v", s, err)
	}
	if _, err := parseState([]byte("no")); err == nil {
		t.Error("nonsense was accepted")
	}
}

func TestParseProbe(t *testing.T) {
	out := `some runtime's warning
{"name":"getppid_ns","value":80}
{"name":"forkexec_ms","value":0.7}
{"name":"pagefault_us","value":1.4}
{"level":"info","msg":"not ours"}
{"name":"write_mbs","value":5000}
{"name":"write_fsync_mbs","value":1600}
{"name":"read_mbs","value":8000}
{"name":"smallfiles_ms","value":120}
{"name":"stat_us","value":1.2}
`
	got, err := parseProbe([]byte(out), len(microFigures))
	if err != nil || got["read_mbs"] != 8000 || len(got) != 8 {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := parseProbe([]byte(out[:60]), len(microFigures)); err == nil || len(got) != 1 {
		t.Errorf("half the output: %v, %v", got, err)
	}
}

func TestParseStat(t *testing.T) {
	idle, total, err := parseStat("cpu  10 0 20 60 10 0 0 0 5 0\ncpu0 1 2 3\n")
	if err != nil || idle != 70 || total != 100 {
		t.Errorf("got %v of %v, %v", idle, total, err)
	}
	for _, bad := range []string{"", "intr 1", "cpu 1 2 3", "cpu a b c d e f g h"} {
		if _, _, err := parseStat(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	if v := idle2(); math.IsNaN(v) || v < 0 || v > 100.5 {
		t.Errorf("idle %v %%", v)
	}
}

// idle2 measures this machine shortly.
func idle2() float64 { return idle(20_000_000) }

func TestFindRuntimes(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("KATA_CACHE", filepath.Join(dir, "cache"))
	t.Setenv("PATH", dir)
	for _, name := range []string{"runc", "kata-runtime", "cache/peers/runsc"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho one\necho two\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	found, missing, err := findRuntimes([]string{"kata", "runc", "crun", "runsc", "runsc-ptrace"}, dir, "software")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range found {
		names = append(names, r.name)
	}
	if !slices.Equal(names, []string{"kata", "runc", "runsc", "runsc-ptrace"}) {
		t.Errorf("found %v", names)
	}
	if len(missing) != 1 || !strings.HasPrefix(missing[0], "crun: ") {
		t.Errorf("missing %v", missing)
	}
	got := strings.Join(found[0].command("/r", "delete", "x"), " ")
	if got != "--root /r/kata --isolation software delete x" {
		t.Errorf("command %q", got)
	}
	if got := strings.Join(found[3].global, " "); got != "--platform=ptrace --network=none" {
		t.Errorf("ptrace %q", got)
	}
	if _, _, err := findRuntimes([]string{"lxc"}, dir, "software"); err == nil {
		t.Error("an unknown name was accepted")
	}
}

func TestContainerSpec(t *testing.T) {
	spec := containerSpec("/r", []string{"/bin/true"}, false)
	if spec.Root.Readonly || spec.Process.Terminal || spec.Process.Args[0] != "/bin/true" {
		t.Errorf("got %+v %+v", spec.Root, spec.Process)
	}
	var kinds []specs.LinuxNamespaceType
	for _, n := range spec.Linux.Namespaces {
		kinds = append(kinds, n.Type)
		if n.Path != "" {
			t.Errorf("namespace %s is not new", n.Type)
		}
	}
	slices.Sort(kinds)
	if !slices.Equal(kinds, []specs.LinuxNamespaceType{"ipc", "mount", "network", "pid", "uts"}) {
		t.Errorf("namespaces %v", kinds)
	}
}
