package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"kata/test/stage"
)

// patience with one program; one that takes longer has failed. The slowest run some 200
// containers, half a minute on a fast host that has nothing else to do.
const patience = 10 * time.Minute

// result of a program, beside the lines that it printed.
type result struct {
	Exit int // -1 if it had to be killed
	Took time.Duration
	Tmp  string // its directory for temporary files
}

// onStage runs all programs with one runtime, and keeps what they print.
func onStage(o options) int {
	if err := o.collectAll(); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		return 1
	}
	return 0
}

func (o options) collectAll() error {
	runtime := o.peer
	if o.collect == "kata" {
		var err error
		if runtime, err = wrapper(o.bin); err != nil {
			return err
		}
	}
	names, err := o.names()
	if err != nil {
		return err
	}
	dir := filepath.Join(o.output, o.collect)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	results, err := inLanes(names, func(name string) (result, error) {
		return o.run(name, runtime, filepath.Join(dir, name))
	})
	if err != nil {
		return err
	}
	removeParents()
	data, err := json.Marshal(results)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "results.json"), data, 0o644)
}

// inLanes runs two programs at a time: many of them mostly wait. Those about cgroups
// use the same names for theirs and stay in one lane.
func inLanes(names []string, run func(string) (result, error)) (map[string]result, error) {
	alone, rest := []string{}, make(chan string, len(names))
	for _, name := range names {
		if strings.Contains(name, "cgroups") || name == "delete_only_create_resources" {
			alone = append(alone, name)
		} else {
			rest <- name
		}
	}
	close(rest)
	var mu sync.Mutex
	results := map[string]result{}
	lane := func(names []string) error {
		for {
			if len(names) == 0 {
				name, more := <-rest
				if !more {
					return nil
				}
				names = []string{name}
			}
			r, err := run(names[0])
			if err != nil {
				return err
			}
			mu.Lock()
			results[names[0]] = r
			mu.Unlock()
			names = names[1:]
		}
	}
	ends := make(chan error, 2)
	go func() { ends <- lane(alone) }()
	go func() { ends <- lane(nil) }()
	return results, errors.Join(<-ends, <-ends)
}

// removeParents removes the cgroups that the programs' relative paths lie in. They
// are the caller's, so runtimes leave them; one that is not empty stays, and is found.
func removeParents() {
	for _, dir := range []string{"testdir/cgrouptest", "testdir"} {
		found, _ := filepath.Glob("/sys/fs/cgroup/*/" + dir)
		for _, d := range append(found, "/sys/fs/cgroup/"+dir) {
			_ = os.Remove(d)
		}
	}
}

// wrapper makes the one executable that the programs take a runtime as.
func wrapper(bin string) (string, error) {
	conf := filepath.Join(stage.Dir(), "configuration.toml")
	// A slow host is no failure of conformance.
	if err := os.WriteFile(conf, []byte("boot_timeout = \"1m\"\n"), 0o644); err != nil {
		return "", err
	}
	file := filepath.Join(stage.Dir(), "kata")
	script := fmt.Sprintf("#!/bin/sh\nKATA_CONF_FILE='%s' exec '%s/kata-runtime' --isolation software \"$@\"\n", conf, bin)
	return file, os.WriteFile(file, []byte(script), 0o755)
}

// run executes a program with a runtime; base names the files of its output. The
// temporary files go with the stage: a runtime may have mounted the host's there.
func (o options) run(program, runtime, base string) (result, error) {
	tmp, err := os.MkdirTemp(stage.Dir(), "")
	if err != nil {
		return result{}, err
	}
	out, err := os.Create(base + ".tap")
	if err != nil {
		return result{}, err
	}
	defer out.Close()
	errs, err := os.Create(base + ".err")
	if err != nil {
		return result{}, err
	}
	defer errs.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(o.programs, "bin", program))
	if program == configsProgram {
		cmd = exec.CommandContext(ctx, "/proc/self/exe", "-configurations")
	}
	cmd.Dir = o.programs
	cmd.Env = append(os.Environ(), "RUNTIME="+runtime, "TMPDIR="+tmp)
	cmd.Stdout, cmd.Stderr = out, errs
	start := time.Now()
	if err := cmd.Run(); cmd.ProcessState == nil {
		return result{}, err
	}
	return result{cmd.ProcessState.ExitCode(), time.Since(start), tmp}, nil
}

// read returns the verdicts that collectAll has kept in a directory for a runtime.
func read(dir, label string) (map[string]verdicts, error) {
	dir = filepath.Join(dir, label)
	data, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if err != nil {
		return nil, err
	}
	var results map[string]result
	if err := json.Unmarshal(data, &results); err != nil {
		return nil, err
	}
	all := map[string]verdicts{}
	for name, r := range results {
		text, err := os.ReadFile(filepath.Join(dir, name+".tap"))
		if err != nil {
			return nil, err
		}
		v := readTAP(string(text), r.Tmp)
		v.took = r.Took
		v.add(r.Exit == 0, exitLine)
		all[name] = v
	}
	return all, nil
}
