package qemu

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kata/check"
	"kata/vm"
	"kata/vm/loader"
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
func (t *target) installation(accel accelerator, options map[string]string) ([]template.Input, error) {
	binary, err := t.findBinary()
	if err != nil {
		return nil, err
	}
	if err := t.examine(binary, accel, options); err != nil {
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
	libraries, err := loader.Libraries(binary)
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
