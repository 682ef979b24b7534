package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Names of the columns.
const (
	kata   = "kata"
	runsc  = "runsc"
	native = "native"
)

const runscNoNetwork = "--network=none"

// runtime is one program with an OCI command line.
type runtime struct {
	name   string
	path   string
	global []string // flags before the verb
}

// command returns the arguments for a verb; "--root" separates this benchmark's
// containers from all others.
func (r *runtime) command(root string, args ...string) []string {
	all := append([]string{"--root", filepath.Join(root, r.name)}, r.global...)
	return append(all, args...)
}

// version returns the first line the program prints about itself.
func (r *runtime) version() string {
	out, err := exec.Command(r.path, "--version").CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if err != nil {
		return "version unknown: " + err.Error()
	}
	return line
}

// findRuntimes looks up the named runtimes. Those that are not installed come
// back as text, "NAME: where it was looked for". An unknown name is an error.
func findRuntimes(names []string, bin, isolation string) (found []*runtime, missing []string, err error) {
	for _, name := range names {
		r := &runtime{name: name}
		var problem error
		switch name {
		case kata:
			r.global = []string{"--isolation", isolation}
			r.path, problem = file(filepath.Join(bin, "kata-runtime"))
		case "runc", "crun":
			r.path, problem = exec.LookPath(name)
		case runsc, "runsc-ptrace", "runsc-disk":
			r.global = runscFlags(name)
			r.path, problem = findRunsc()
		default:
			return nil, nil, fmt.Errorf("unknown runtime %q, want kata, runc, crun, runsc, runsc-ptrace or runsc-disk", name)
		}
		if problem != nil {
			missing = append(missing, fmt.Sprintf("%s: %v", name, problem))
			continue
		}
		found = append(found, r)
	}
	return found, missing, nil
}

// runscFlags returns gVisor's flags: without its own network, as the other
// containers have an empty one. By default runsc keeps changes to the root file
// system in memory, where fsync is free; runsc-disk writes through.
func runscFlags(name string) []string {
	switch name {
	case "runsc-ptrace":
		return []string{"--platform=ptrace", runscNoNetwork}
	case "runsc-disk":
		return []string{"--platform=systrap", runscNoNetwork, "--overlay2=none"}
	}
	return []string{"--platform=systrap", runscNoNetwork}
}

// networked is r for containers with a network: gVisor's own stack then takes over
// the interfaces of the namespace.
func (r *runtime) networked() *runtime {
	with := *r
	with.global = slices.Clone(r.global)
	if i := slices.Index(with.global, runscNoNetwork); i >= 0 {
		with.global[i] = "--network=sandbox"
	}
	return &with
}

// findRunsc looks in PATH and where the project's set-up puts peers.
func findRunsc() (string, error) {
	if path, err := exec.LookPath("runsc"); err == nil {
		return path, nil
	}
	cache := os.Getenv("KATA_CACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(home, ".cache", "kata")
	}
	return file(filepath.Join(cache, "peers", "runsc"))
}

// file returns the absolute path of an executable regular file.
func file(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return "", errors.New(path + " is not executable")
	}
	return filepath.Abs(path)
}
