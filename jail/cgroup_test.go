package jail

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// group makes a cgroup for a test, nested, and removes all of it in the end.
func group(t *testing.T, l Limits) *Cgroup {
	t.Helper()
	top := fmt.Sprintf("/kata-jail-test-%d", os.Getpid())
	path := top + "/nested/" + strings.ToLower(t.Name())
	c, err := NewCgroup(path, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := RemoveCgroup(c.Dirs()); err != nil {
			t.Error(err)
		}
		for _, dir := range append(CgroupDirs(top+"/nested"), CgroupDirs(top)...) {
			_ = os.Remove(dir)
		}
		for _, dir := range c.Dirs() {
			if _, err := os.Stat(dir); err == nil {
				t.Errorf("%s is left", dir)
			}
		}
	})
	if want := CgroupDirs(path); strings.Join(want, " ") != strings.Join(c.Dirs(), " ") || len(want) == 0 {
		t.Errorf("directories %q, CgroupDirs says %q", c.Dirs(), want)
	}
	return c
}

func TestCgroupMemoryKills(t *testing.T) {
	c := config(t, "eat")
	c.Cgroup = group(t, Limits{MemoryBytes: 48 << 20})
	out, err := output(t, c)
	if errorText(err) != "killed by signal 9 (killed)" {
		t.Errorf("%q, %v", out, err)
	}
}

// TestCgroupMemoryChanges: what was too little is enough.
func TestCgroupMemoryChanges(t *testing.T) {
	c := group(t, Limits{MemoryBytes: 64 << 20})
	for _, limit := range []int64{256 << 20, 96 << 20} {
		if err := c.SetMemory(limit); err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, dir := range c.Dirs() {
			for _, file := range []string{"memory.max", "memory.limit_in_bytes"} {
				if b, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
					found = append(found, strings.TrimSpace(string(b)))
				}
			}
		}
		if len(found) != 1 || found[0] != fmt.Sprint(limit) {
			t.Errorf("the limit is %q, want %d", found, limit)
		}
	}
}

func TestCgroupPids(t *testing.T) {
	c := config(t, "fork")
	c.Cgroup = group(t, Limits{Pids: 40})
	out, err := output(t, c)
	if err != nil || !strings.Contains(out, "resource temporarily unavailable") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestCgroupHoldsTheProcess(t *testing.T) {
	c := config(t, "sleep")
	c.Cgroup = group(t, Limits{CPUQuota: 50000, CPUPeriod: 100000, CPUShares: 512})
	p, _ := start(t, c)
	for _, dir := range c.Cgroup.Dirs() {
		if b, err := os.ReadFile(dir + "/cgroup.procs"); err != nil || len(strings.Fields(string(b))) == 0 {
			t.Errorf("%s: processes %q, %v", dir, b, err)
		}
	}
	// Removing ends what is in there, and with it the jail.
	if err := RemoveCgroup(c.Cgroup.Dirs()); err != nil {
		t.Error(err)
	}
	wait(t, p)
	if p.Err() == nil {
		t.Error("the process was killed, and Err says nothing")
	}
	if err := RemoveCgroup(c.Cgroup.Dirs()); err != nil {
		t.Errorf("a second removal: %v", err)
	}
}

func TestCgroupDefaultParentIsRemoved(t *testing.T) {
	id := fmt.Sprintf("jail-test-%d", os.Getpid())
	c, err := NewCgroup(DefaultParent+"/"+id, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	second, err := NewCgroup(DefaultParent+"/"+id+"-2", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
	if err := RemoveCgroup(c.Dirs()); err != nil {
		t.Error(err)
	}
	for _, dir := range second.Dirs() { // the parent is in use
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
	if err := RemoveCgroup(second.Dirs()); err != nil {
		t.Error(err)
	}
	for _, dir := range second.Dirs() {
		siblings, err := filepath.Glob(filepath.Dir(dir) + "/*/cgroup.procs") // sandboxes of others
		if _, statErr := os.Stat(filepath.Dir(dir)); statErr == nil && err == nil && len(siblings) == 0 {
			t.Errorf("%s is empty and left", filepath.Dir(dir))
		}
	}
}

func TestCgroupRefusals(t *testing.T) {
	top := fmt.Sprintf("/kata-jail-refused-%d", os.Getpid())
	if _, err := NewCgroup(top, Limits{CPUQuota: 1, CPUPeriod: 1}); err == nil || !strings.Contains(err.Error(), "host cgroup "+top) {
		t.Errorf("a period of 1 µs: %v", err)
	}
	for _, dir := range CgroupDirs(top) {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is left", dir)
			_ = os.Remove(dir)
		}
	}
	for _, dir := range CgroupDirs("../../../etc") { // a path cannot lead out
		if !strings.HasPrefix(dir, cgroupRoot+"/") {
			t.Errorf("%s is outside", dir)
		}
	}
}

// What could not be made must not keep a sandbox from being deleted.
func TestRemoveCgroupThatCannotExist(t *testing.T) {
	for _, name := range []string{strings.Repeat("x", 5000), "a\x00b", "none", "cgroup.procs/x"} {
		if err := RemoveCgroup([]string{filepath.Join(cgroupRoot, name)}); err != nil {
			t.Error(err)
		}
	}
}

func TestWeight(t *testing.T) {
	for shares, want := range map[uint64]string{0: "", 1: "1", 2: "1", 1024: "39", 262144: "10000", 1 << 40: "10000"} {
		if got := Weight(shares); got != want {
			t.Errorf("Weight(%d) = %q, want %q", shares, got, want)
		}
	}
}

// One sandbox that ends removes the parent while another is being made below it.
func TestCgroupParentComesAndGoes(t *testing.T) {
	top := fmt.Sprintf("/kata-jail-test-%d", os.Getpid())
	parent := top + "/" + DefaultParent
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 200 {
				c, err := NewCgroup(fmt.Sprintf("%s/%d-%d", parent, i, n), Limits{Pids: 10})
				if err != nil {
					t.Error(err)
					return
				}
				c.Close()
				if err := RemoveCgroup(c.Dirs()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, dir := range append(CgroupDirs(parent), CgroupDirs(top)...) {
		_ = os.Remove(dir)
	}
	for _, dir := range CgroupDirs(top) {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is left", dir)
		}
	}
}
