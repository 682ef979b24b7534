package qemu

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"kata/check"
	"kata/vm"
	"kata/vm/template"
)

// Places, in order of preference: QEMU may be one of our own (packaging/qemu), beside the
// guest's files; all else is the distribution's.
var (
	binaryDirs   = append(ownDirs(), "/usr/bin", "/usr/local/bin")
	firmwareDirs = []string{"/usr/share/qemu", "/usr/local/share/qemu", "/usr/share/qemu-kvm"}
	moduleDirs   = []string{"/usr/lib/*/qemu", "/usr/lib64/qemu", "/usr/lib/qemu", "/usr/lib64/qemu-kvm"}
)

// ownDirs are where the guest's files are, as seen from the running program: in a source
// tree, and in an installation.
func ownDirs() []string {
	exe, err := os.Executable()
	if err != nil {
		return nil
	}
	dir := filepath.Dir(exe)
	return []string{filepath.Join(dir, "guest"), filepath.Join(dir, "../share/kata"), filepath.Join(dir, "../../share/kata")}
}

// findBinary returns the path of QEMU. Error: vm.Unavailable.
func (t *target) findBinary() (string, error) {
	for _, dir := range binaryDirs {
		if fi, err := os.Stat(dir + "/" + t.program); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return dir + "/" + t.program, nil
		}
	}
	return "", &vm.Unavailable{Driver: Name, Kind: check.ProgramAbsent, Cause: t.program + " is not in " + strings.Join(binaryDirs, " or "),
		Remedy: "install QEMU (Debian: " + t.pkg + ")"}
}

// Where the installation appears in the jail.
const (
	binaryPath   = "/qemu"
	firmwarePath = "/firmware"
	modulePath   = "/modules"
)

// installation lists the host files that QEMU consists of, and where it sees them.
func (t *target) installation(accel accelerator) ([]template.Input, error) {
	binary, err := t.findBinary()
	if err != nil {
		return nil, err
	}
	if err := t.examine(binary, accel); err != nil {
		return nil, err
	}
	return t.consistsOf(binary, accel)
}

// consistsOf is the installation of a QEMU that works.
func (t *target) consistsOf(binary string, accel accelerator) ([]template.Input, error) {
	files := []template.Input{{Path: binary, Place: binaryPath}}
	for _, name := range t.firmware {
		source, err := find(firmwareDirs, name)
		if err != nil {
			return nil, &vm.Unavailable{Driver: Name, Kind: check.ProgramAbsent, Cause: "QEMU's firmware: " + err.Error(),
				Remedy: "install it with QEMU (Debian: qemu-system-data)"}
		}
		files = append(files, template.Input{Path: source, Place: firmwarePath + "/" + name})
	}
	libraries, err := libraries(binary)
	if err != nil {
		return nil, &vm.Unavailable{Driver: Name, Kind: check.ProgramBroken, Err: err, Cause: "QEMU's libraries: " + err.Error(),
			Remedy: "install QEMU again"}
	}
	// Where an accelerator is no module, it is part of the binary, as in a static one.
	module := t.module(accel) + ".so"
	if source, err := find(moduleDirs, module); err == nil && len(libraries) > 0 {
		files = append(files, template.Input{Path: source, Place: modulePath + "/" + module})
	}
	for _, path := range libraries {
		files = append(files, template.Input{Path: path, Place: path})
	}
	return files, nil
}

func find(dirs []string, name string) (string, error) {
	for _, dir := range dirs {
		if found, _ := filepath.Glob(dir + "/" + name); len(found) > 0 {
			return found[0], nil
		}
	}
	return "", fmt.Errorf("%s is not in %s", name, strings.Join(dirs, " or "))
}

// loaderTime bounds what takes some ten milliseconds.
const loaderTime = 5 * time.Second

// libraries returns the paths of the dynamic loader of a binary and of what it
// would load. The loader itself says so: it alone knows where it looks.
func libraries(binary string) ([]string, error) {
	loader, err := interpreter(binary)
	if err != nil || loader == "" {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), loaderTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, loader, "--list", binary)
	cmd.Env = []string{}
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s --list %s: %w", loader, binary, err)
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

// interpreter is the dynamic loader that a binary asks for; a static one asks for
// none.
func interpreter(binary string) (string, error) {
	f, err := elf.Open(binary)
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
