package state

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLife(t *testing.T) {
	root := filepath.Join(t.TempDir(), "deep", "root")
	if ids, err := List(root); err != nil || len(ids) != 0 {
		t.Errorf("a root that is missing: %q, %v", ids, err)
	}
	d, err := Make(root, "c1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Make(root, "c1"); !errors.Is(err, ErrExists) {
		t.Errorf("a second Make: %v, want ErrExists", err)
	}
	for path, mode := range map[string]os.FileMode{d.Path(): 0o700, d.Machine(): 0o700} {
		if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, fi, err)
		}
	}
	if _, err := d.Load(); !errors.Is(err, ErrNotExist) {
		t.Errorf("a record that is not yet there: %v, want ErrNotExist", err)
	}
	r := &Record{ID: "c1", OCIVersion: "1.3.0", Bundle: "/b", Rootfs: "/b/rootfs", Created: time.Now().UTC().Round(0), Owner: 7,
		Annotations: map[string]string{"k": "v"}, Proxy: Process{1, 2}, Shim: Process{3, 4}, CgroupDirs: []string{"/x"}, Isolation: "software", Hypervisor: "any"}
	for range 2 { // the second replaces the first
		r.Owner++
		if err := d.Save(r); err != nil {
			t.Fatal(err)
		}
		if got, err := At(root, "c1").Load(); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("saved %+v, loaded %+v, %v", r, got, err)
		}
	}
	if _, err := Make(root, "c2"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if ids, err := List(root); err != nil || !slices.Equal(ids, []string{"c1", "c2"}) {
		t.Errorf("List: %q, %v", ids, err)
	}
	if err := d.Remove(); err != nil || d.Exists() || !At(root, "c2").Exists() {
		t.Errorf("Remove: %v", err)
	}
	if err := d.Remove(); err != nil {
		t.Errorf("a second Remove: %v", err)
	}
	if err := d.Save(r); err == nil {
		t.Error("Save after Remove succeeded")
	}
}

func TestDamagedRecord(t *testing.T) {
	d, err := Make(t.TempDir(), "c")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "{", `{"proxy": 1}`} {
		if err := os.WriteFile(d.Path()+"/"+recordName, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Load(); err == nil || errors.Is(err, ErrNotExist) || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%q: %v", text, err)
		}
	}
	// One that died between writing and renaming left only the new file.
	if err := os.Rename(d.Path()+"/"+recordName, d.Path()+"/"+recordName+".new"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Load(); !errors.Is(err, ErrNotExist) {
		t.Errorf("%v, want ErrNotExist", err)
	}
}

func TestSocketBelowLongPath(t *testing.T) {
	d, err := Make(filepath.Join(t.TempDir(), strings.Repeat("long/", 60)), strings.Repeat("x", 200))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Dial(); !errors.Is(err, ErrGone) {
		t.Errorf("nobody listens: %v, want ErrGone", err)
	}
	l, err := d.Listen()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	c, err := d.Dial()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "echo")
	_ = c.CloseWrite()
	if b, err := io.ReadAll(c); string(b) != "echo" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	c.Close()
	l.Close()
	if _, err := d.Dial(); !errors.Is(err, ErrGone) {
		t.Errorf("an owner that is gone: %v, want ErrGone", err)
	}
	if _, err := At(t.TempDir(), "none").Dial(); !errors.Is(err, ErrGone) {
		t.Errorf("no such container: %v, want ErrGone", err)
	}
}

// sleeper is a process that has to be killed.
func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func TestProcessIdentity(t *testing.T) {
	self := Identify(os.Getpid())
	if self.PID != os.Getpid() || self.Start == 0 || !self.Alive() {
		t.Errorf("this process: %+v", self)
	}
	reused := Process{self.PID, self.Start - 1}
	if reused.Alive() {
		t.Error("another process under the same id is taken for the first")
	}
	reused.End(0) // must not kill this process
	for _, p := range []Process{{}, {-1, 5}, {0, 0}} {
		if p.Alive() {
			t.Errorf("%+v is alive", p)
		}
		p.End(0)
	}
	cmd := sleeper(t)
	p := Identify(cmd.Process.Pid)
	if !p.Alive() {
		t.Fatal("a running process is not alive")
	}
	p.End(0)
	if p.Alive() { // a zombie until its parent collects it, but gone
		t.Error("End did not end it")
	}
	_ = cmd.Wait()
	if got := Identify(cmd.Process.Pid); got != (Process{}) || p.Alive() {
		t.Errorf("a process that is gone: %+v", got)
	}
}

func TestEndWaits(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := Identify(cmd.Process.Pid)
	done := make(chan struct{})
	go func() { p.End(time.Minute); close(done) }()
	in.Close() // it ends by itself
	<-done
	if err := cmd.Wait(); err != nil {
		t.Errorf("it was killed, though there was time: %v", err)
	}
}
