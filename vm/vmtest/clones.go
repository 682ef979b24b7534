package vmtest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kata/oci"
	"kata/sandbox"
	"kata/sandbox/compile"
	"kata/vm"
)

// Clones is for drivers whose machines start from a saved one: n are started at once,
// each with a container. They all run at the same time, have nothing in common that must
// be theirs alone, and share memory, unless each has its own (apart).
func Clones(t *testing.T, d vm.Driver, files Files, n int, apart bool) {
	caps, err := d.Probe(files.Options)
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{driver: d, files: files, caps: caps}
	program := filepath.Join(t.TempDir(), "unique")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "kata/vm/vmtest/unique")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.boot(t, s.spec(t)).Stop() // the first saves it
	all := make([]*cloned, n)
	var wg sync.WaitGroup
	for i := range all {
		c := container(t, fmt.Sprintf("clone%d", i), "", func(b *oci.Bundle) {
			b.Spec.Process.Args, b.Spec.Hostname = []string{"/unique"}, fmt.Sprintf("host%d", i)
		})
		if err := os.Link(program, c.Shares[0].Source+"/unique"); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		wg.Go(func() { all[i] = s.startClone(t, c, dir) })
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	compare(t, all)
	measure(t, all, apart)
}

// cloned is a machine whose container has said what it is.
type cloned struct {
	sb   *sandbox.Sandbox
	said map[string]string
}

func (s *suite) startClone(t *testing.T, c *compile.Container, dir string) *cloned {
	spec := s.spec(t)
	spec.Name, spec.Dir, spec.Shares = c.Request.ID, dir, c.Shares
	o := s.options(spec)
	o.Hostname = c.Request.ID
	sb, err := sandbox.Boot(t.Context(), o)
	if err != nil {
		t.Errorf("%+v", err)
		return nil
	}
	t.Cleanup(sb.Stop)
	if len(sb.Notes) > 0 {
		t.Errorf("it did not start from a template: %q", sb.Notes)
	}
	defer time.AfterFunc(Patience, sb.Stop).Stop()
	stdio, err := sb.Create(t.Context(), &c.Request)
	if err == nil {
		t.Cleanup(stdio.Close)
		err = sb.Start(t.Context(), c.Request.ID)
	}
	if err != nil {
		t.Errorf("%s: %v", c.Request.ID, err)
		return nil
	}
	said := map[string]string{}
	for lines := bufio.NewScanner(stdio[1]); lines.Scan() && lines.Text() != "end"; {
		name, value, _ := strings.Cut(lines.Text(), " ")
		said[name] = value
	}
	return &cloned{sb, said}
}

// Undisturbed starts a machine, has something happen, and runs a container in it that
// uses much of what the guest has not touched before.
func Undisturbed(t *testing.T, d vm.Driver, files Files, happen func()) {
	caps, err := d.Probe(files.Options)
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{driver: d, files: files, caps: caps}
	c := container(t, "undisturbed", "head -c 40000000 /dev/zero | sha256sum >/tmp/sum; cat /proc/*/status /proc/kallsyms | sha256sum >/tmp/sum; echo well", nil)
	spec := s.spec(t)
	spec.Shares = c.Shares
	sb := s.boot(t, spec)
	happen()
	if out := run(t, sb, c); out != "well\n" {
		t.Errorf("the container printed %q", out)
	}
}

func compare(t *testing.T, all []*cloned) {
	t.Helper()
	for _, name := range []string{"random", "hello", "uuid", "boot_id", "hostname"} {
		seen := map[string]bool{}
		for _, c := range all {
			if v := c.said[name]; v == "" || seen[v] {
				t.Errorf("%s is %q, which is nothing or another machine's as well: %v", name, v, c.said)
			}
			seen[c.said[name]] = true
		}
	}
	for _, c := range all {
		if c.said["entropy_avail"] != "256" { // all that the generator counts
			t.Errorf("the generator has %q bits credited, want 256", c.said["entropy_avail"])
		}
	}
}

// measure checks that much of what the machines have in memory is there once, unless
// they are apart.
func measure(t *testing.T, all []*cloned, apart bool) {
	t.Helper()
	var pss, resident, private int
	for _, c := range all {
		m := memoryOf(t, c.sb)
		pss, resident, private = pss+m["Pss"], resident+m["Rss"], private+m["Private_Clean"]+m["Private_Dirty"]
	}
	each := func(kib int) int { return kib * 1024 / 1000 / 1000 / len(all) }
	t.Logf("%d machines, each %d MB resident, %d MB in proportion, %d MB private", len(all), each(resident), each(pss), each(private))
	if !apart && pss*4 > resident*3 {
		t.Errorf("%d KiB resident, %d in proportion: less than a quarter is shared", resident, pss)
	}
}
