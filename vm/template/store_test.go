package template

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fixture is a store, and a recipe whose template counts how often it is made.
func fixture(t *testing.T) (*Store, *Recipe, *atomic.Int32) {
	t.Helper()
	input := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(input, []byte("kernel"), 0o600); err != nil {
		t.Fatal(err)
	}
	made := &atomic.Int32{}
	return NewStore(filepath.Join(t.TempDir(), "store")), &Recipe{Name: "a machine", Key: []string{"512", "1"},
		Inputs: func() ([]Input, error) { return []Input{{Path: input, Place: "/linux"}}, nil },
		Make: func(dir string, _ []Input) error {
			made.Add(1)
			for _, name := range []string{Memory, State, Output, Log} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
					return err
				}
			}
			return nil
		}}, made
}

func get(t *testing.T, s *Store, r *Recipe) *Template {
	t.Helper()
	tpl, err := s.Get(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tpl.Close)
	return tpl
}

func TestGet(t *testing.T) {
	s, r, made := fixture(t)
	get(t, s, r)
	tpl := get(t, s, r)
	if made.Load() != 1 || string(tpl.Output) != Output || string(tpl.Log) != Log || len(tpl.Inputs) != 1 || tpl.Inputs[0].Place != "/linux" {
		t.Errorf("made %d times: %+v", made.Load(), tpl)
	}
	other := *r
	other.Key = []string{"5121", ""}
	get(t, s, &other)
	if made.Load() != 2 {
		t.Errorf("made %d times, want once for each key", made.Load())
	}
	if fi, err := os.Stat(s.dir); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v: others can look into the store", fi, err)
	}
}

func TestMadeAnew(t *testing.T) {
	for name, spoil := range map[string]func(dir string, r *Recipe) error{
		"input changed": func(_ string, r *Recipe) error {
			in, _ := r.Inputs()
			return os.WriteFile(in[0].Path, []byte("lernek"), 0o600)
		},
		"memory truncated": func(dir string, _ *Recipe) error { return os.Truncate(dir+"/"+Memory, 1) },
		"state truncated":  func(dir string, _ *Recipe) error { return os.Truncate(dir+"/"+State, 1) },
		"state changed":    func(dir string, _ *Recipe) error { return os.WriteFile(dir+"/"+State, []byte("etats"), 0o600) },
		"memory changed": func(dir string, _ *Recipe) error {
			return os.WriteFile(dir+"/"+Memory, []byte(strings.ToUpper(Memory)), 0o600)
		},
		"no output":       func(dir string, _ *Recipe) error { return os.Remove(dir + "/" + Output) },
		"no description":  func(dir string, _ *Recipe) error { return os.Remove(dir + "/" + description) },
		"bad description": func(dir string, _ *Recipe) error { return os.WriteFile(dir+"/"+description, []byte("{"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			s, r, made := fixture(t)
			get(t, s, r)
			if err := spoil(filepath.Join(s.dir, r.ID()), r); err != nil {
				t.Fatal(err)
			}
			get(t, s, r)
			if made.Load() != 2 {
				t.Errorf("made %d times, want 2", made.Load())
			}
		})
	}
}

// TestOnce has many ask for a template that is not there yet.
func TestOnce(t *testing.T) {
	s, r, made := fixture(t)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() { get(t, s, r) })
	}
	all.Wait()
	if made.Load() != 1 {
		t.Errorf("made %d times", made.Load())
	}
}

func TestFailure(t *testing.T) {
	s, r, _ := fixture(t)
	want := errors.New("no machine")
	good := r.Make
	r.Make = func(dir string, in []Input) error { return errors.Join(good(dir, in), want) }
	if _, err := s.Get(t.Context(), r); !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
	if list, err := filepath.Glob(s.dir + "/*"); err != nil || len(list) != 1 || filepath.Base(list[0]) != lockName {
		t.Errorf("left behind: %v, %v", list, err)
	}
}

// TestKilled finds what somebody left who was killed in the middle.
func TestKilled(t *testing.T) {
	s, r, _ := fixture(t)
	half := filepath.Join(s.dir, unfinished+"123")
	foreign := filepath.Join(s.dir, "not-ours")
	for _, dir := range []string{s.dir, half, foreign} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	get(t, s, r)
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the half template is still there: %v", err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("somebody else's directory is gone: %v", err)
	}
}

func TestWaitIsBounded(t *testing.T) {
	s, r, _ := fixture(t)
	unlock, err := s.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Get(ctx, r); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want DeadlineExceeded", err)
	}
}

func TestOpenStore(t *testing.T) {
	s, r, _ := fixture(t)
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), r); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("others may look into the store: %v", err)
	}
}

func TestListAndRemove(t *testing.T) {
	s, r, _ := fixture(t)
	tpl := get(t, s, r)
	list, err := s.List()
	if err != nil || len(list) != 1 || list[0].ID != r.ID() || list[0].Name != r.Name || list[0].Problem != "" {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := s.Remove(t.Context(), "0123456789abcdef"); err == nil {
		t.Error("removed what is not there")
	}
	if err := s.Remove(t.Context(), r.ID()); err != nil {
		t.Fatal(err)
	}
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	b := make([]byte, len(Memory)) // who uses it goes on
	if _, err := tpl.MemoryFile.ReadAt(b, 0); err != nil || string(b) != Memory {
		t.Errorf("%q, %v", b, err)
	}
}

// TestRoomIsBounded makes one template more than are kept.
func TestRoomIsBounded(t *testing.T) {
	s, r, _ := fixture(t)
	for i := range most + 1 {
		next := *r
		next.Key = []string{string(rune('a' + i))}
		get(t, s, &next)
		old := time.Now().Add(time.Duration(i-100) * time.Second)
		if err := os.Chtimes(filepath.Join(s.dir, next.ID()), old, old); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.List()
	if err != nil || len(list) != most {
		t.Errorf("%d are kept, %v; want %d", len(list), err, most)
	}
	first := Recipe{Key: []string{"a"}}
	if _, err := os.Stat(filepath.Join(s.dir, first.ID())); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the oldest is kept: %v", err)
	}
}
