package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fakeRuntime writes its arguments to a log; "run" fails if the log's name says so.
func fakeRuntime(t *testing.T, script string) (*session, *runtime, func() string) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	s, err := newSession()
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	path := filepath.Join(t.TempDir(), "fake")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nshift 2\necho $* >>"+log+"\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return s, &runtime{name: "fake", path: path}, func() string {
		data, _ := os.ReadFile(log)
		return string(data)
	}
}

func TestCloseDeletesWhatIsLeft(t *testing.T) {
	s, r, log := fakeRuntime(t, "[ $1 != run ] || { echo broken >&2; exit 3; }\n")
	b := &bench{session: s, out: &report{}}
	if _, err := b.once(context.Background(), r, "bundle"); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("error %v", err)
	}
	if problems := s.close(); len(problems) > 0 {
		t.Errorf("problems %v", problems)
	}
	if !strings.Contains(log(), "delete --force "+s.tag+"-1") {
		t.Errorf("the failed container was not deleted: %s", log())
	}
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Errorf("the directory is left: %v", err)
	}
}

func TestInterruptEndsCommand(t *testing.T) {
	s, r, log := fakeRuntime(t, "[ $1 != run ] || exec sleep 60\n")
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	b := &bench{session: s, out: &report{}, runtimes: []*runtime{r}, n: 3, progress: func(string, ...any) {}}
	b.bundles = &bundles{truth: "bundle"}
	begin := time.Now()
	b.start(ctx)
	if time.Since(begin) > 10*time.Second || len(b.out.Lines) != 0 || len(b.out.Notes) != 0 {
		t.Errorf("after %v: %+v", time.Since(begin), b.out)
	}
	if problems := s.close(); len(problems) > 0 || !strings.Contains(log(), "delete --force") {
		t.Errorf("problems %v, log %s", problems, log())
	}
}

func TestFailedDeleteIsReported(t *testing.T) {
	s, r, _ := fakeRuntime(t, "exit 1\n")
	s.newID(r)
	if problems := s.close(); len(problems) != 1 || !strings.HasPrefix(problems[0].text, "not deleted: ") || problems[0].name != "fake" {
		t.Errorf("problems %v", problems)
	}
}

func TestLeftProcessIsReported(t *testing.T) {
	s, _, _ := fakeRuntime(t, "")
	s.watch(&runtime{name: "kata"}, []int{os.Getpid(), 1 << 30})
	if problems := s.close(); len(problems) != 1 || !strings.HasPrefix(problems[0].text, "left running: process ") || problems[0].name != "kata" {
		t.Errorf("problems %v", problems)
	}
}

func TestRoundsLeaveBrokenOut(t *testing.T) {
	good, bad := &runtime{name: "good"}, &runtime{name: "bad"}
	b := &bench{out: &report{}, runtimes: []*runtime{good, bad}}
	calls := map[string]int{}
	got := b.rounds(context.Background(), "run", 3, 2, func(r *runtime) (time.Duration, error) {
		calls[r.name]++
		if r == bad && calls["bad"] == 4 {
			return 0, os.ErrInvalid
		}
		return time.Millisecond, nil
	})
	if len(got["good"]) != 3 || len(got["bad"]) != 0 || calls["good"] != 5 || calls["bad"] != 4 || len(b.out.Notes) != 1 {
		t.Errorf("samples %v, calls %v, notes %v", got, calls, b.out.Notes)
	}
}

func TestOwner(t *testing.T) {
	s := &session{dir: "/tmp/d"}
	for text, want := range map[string]string{"/tmp/d/runsc-disk/null": "runsc-disk", "proxy --root /tmp/d/kata kb-1": "kata",
		"/tmp/d/kata": "kata", "boot --bundle=/tmp/d/bundle-true": "", "sleep 1": ""} {
		if got := s.owner(text); got != want {
			t.Errorf("owner(%q) = %q, want %q", text, got, want)
		}
	}
}
