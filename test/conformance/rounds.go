package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Some programs are races by themselves: killsig sends a signal right after start, to a
// shell that may not have set its trap. A program that differs is run again, but
// not often, and not if so many differ that luck is no reason.
const (
	maxRounds = 3
	maxUnsure = 5
)

// compareAll runs the programs with both runtimes and returns the exit code.
func compareAll(o options) (int, error) {
	exceptions, err := readExceptions(exceptionsFile)
	if err != nil {
		return 0, err
	}
	names, err := o.names()
	if err != nil {
		return 0, err
	}
	if err := os.RemoveAll(o.output); err != nil {
		return 0, err
	}
	found := map[string]comparison{}
	for round, unsure := 1, names; len(unsure) > 0 && round <= maxRounds; round++ {
		if round > 1 {
			fmt.Println("once more:", strings.Join(unsure, " "))
		}
		dir := filepath.Join(o.output, fmt.Sprint(round))
		if err := o.bothStages(unsure, dir); err != nil {
			return 0, err
		}
		if unsure, err = compareRound(unsure, dir, exceptions, found); err != nil {
			return 0, err
		}
		if len(unsure) > maxUnsure {
			break
		}
	}
	var all []comparison
	for _, name := range names {
		c := found[name]
		c.print(os.Stdout)
		all = append(all, c)
	}
	return summarize(os.Stdout, all), nil
}

// bothStages runs programs with runc and with kata-runtime at the same time. It
// fails if kata-runtime leaves something behind.
func (o options) bothStages(names []string, dir string) error {
	var quoted []string
	for _, name := range names {
		quoted = append(quoted, regexp.QuoteMeta(name))
	}
	var stages []*exec.Cmd
	for _, label := range []string{"runc", "kata"} {
		cmd := exec.Command("/proc/self/exe", append(os.Args[1:], "-collect", label, "-output", dir,
			"-run", "^("+strings.Join(quoted, "|")+")$")...)
		if label == "kata" { // what runc leaves is its own business, and goes with its stage
			cmd.Stderr = os.Stderr
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		stages = append(stages, cmd)
	}
	_ = stages[0].Wait() // without results, reading them will say so
	if err := stages[1].Wait(); err != nil {
		return fmt.Errorf("the stage of kata-runtime: %w", err)
	}
	return nil
}

// compareRound compares what the programs said and returns those that may say
// something else next time.
func compareRound(names []string, dir string, exceptions map[string][]exception, found map[string]comparison) (unsure []string, err error) {
	peer, err := read(dir, "runc")
	if err != nil {
		return nil, err
	}
	own, err := read(dir, "kata")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		c := compare(name, peer[name], own[name], exceptions[name])
		if found[name] = c; len(c.worse) > 0 {
			unsure = append(unsure, name)
		}
	}
	return unsure, nil
}
