package jail

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestAttachAndDetach(t *testing.T) {
	c := config(t, "sleep")
	c.Dirs = []string{"/share"}
	p, _ := start(t, c)
	root := fmt.Sprintf("/proc/%d/root", p.PID)
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // what was taken away may come back
		for target, source := range map[string]string{"/share/a/dir": dir, "/share/a/file": dir + "/file"} {
			if err := p.Attach(Bind{Source: source, Target: target, ReadOnly: true, Recursive: true}); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"/share/a/dir/file", "/share/a/file"} {
			if b, err := os.ReadFile(root + name); err != nil || string(b) != "content" {
				t.Errorf("%s: %q, %v", name, b, err)
			}
		}
		// The host's root looks through the jail's mounts: they bind it as well.
		for _, name := range []string{"/share/a/dir/new", "/share/new", "/new"} {
			if err := os.WriteFile(root+name, nil, 0o600); err == nil || !strings.Contains(err.Error(), "read-only") {
				t.Errorf("%s can be written: %v", name, err)
			}
		}
		for _, target := range []string{"/share/a/dir", "/share/a/file"} {
			if err := p.Detach(target); err != nil {
				t.Error(err)
			}
		}
		if entries, err := os.ReadDir(root + "/share"); err != nil || len(entries) > 0 {
			t.Errorf("left in the share: %v, %v", entries, err)
		}
	}
	if err := p.Attach(Bind{Source: "/no/such/file", Target: "/share/x"}); err == nil {
		t.Error("a missing file was let in")
	}
	if err := p.Detach("/share/x"); err == nil {
		t.Error("what is not there was taken away")
	}
	p.Kill()
	wait(t, p)
	if err := p.Attach(Bind{Source: dir, Target: "/share/late"}); err == nil {
		t.Error("something was let into a jail that has ended")
	}
}
