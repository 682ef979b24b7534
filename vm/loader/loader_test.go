package loader

import (
	"debug/elf"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestLibraries compares what the loader says with what the files ask for.
func TestLibraries(t *testing.T) {
	const program = "/usr/bin/env"
	paths, err := Libraries(program)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range paths {
		names = append(names, filepath.Base(p))
	}
	for _, p := range append(paths, program) {
		f, err := elf.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		needed, err := f.ImportedLibraries()
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range needed {
			if !slices.Contains(names, n) {
				t.Errorf("%s needs %s, which is not in %q", p, n, paths)
			}
		}
	}
	if len(paths) < 2 {
		t.Errorf("%s needs only %q", program, paths)
	}
}

func TestStatic(t *testing.T) {
	if paths, err := Libraries("/proc/self/exe"); err != nil || len(paths) > 0 { // tests are built without cgo
		t.Errorf("%q, %v", paths, err)
	}
}

func TestNoProgram(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{text, text + ".missing"} {
		if paths, err := Libraries(file); err == nil {
			t.Errorf("%s: %q", file, paths)
		}
	}
}
