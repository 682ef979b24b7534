// Package loader tells which files of the host a program needs to run where there is
// nothing else: in a jail. It does not run the program.
package loader

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// limit bounds what takes some ten milliseconds.
const limit = 5 * time.Second

// Libraries returns the paths of the dynamic loader of a program and of what it
// would load, none for a static one. The loader itself says so: it alone knows where it
// looks.
func Libraries(program string) ([]string, error) {
	loader, err := interpreter(program)
	if err != nil || loader == "" {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, loader, "--list", program)
	cmd.Env = []string{}
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s --list %s: %w", loader, program, err)
	}
	paths := []string{loader}
	for line := range strings.Lines(string(out)) {
		// NAME => PATH (ADDRESS); the loader and the vDSO have no path.
		_, after, ok := strings.Cut(line, "=> ")
		if !ok {
			continue
		}
		path, _, ok := strings.Cut(after, " (0x")
		if !ok || !filepath.IsAbs(path) {
			return nil, errors.New(strings.TrimSpace(line))
		}
		if path != loader {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// interpreter is the dynamic loader that a program asks for; a static one asks for
// none.
func interpreter(program string) (string, error) {
	f, err := elf.Open(program)
	if err != nil {
		return "", err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			name, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
			return strings.TrimRight(string(name), "\x00"), err
		}
	}
	return "", nil
}
