// Command conformance runs the validation programs of the OCI's runtime-tools with
// runc and with kata-runtime, on two stages side by side, and a table of bad and odd
// configurations likewise, and compares what they say line by line. It fails when a line that runc passes fails here, unless the
// file of exceptions has it; when the line of an exception passes; and when kata-runtime
// leaves something on its stage.
//
// It does not judge what runc fails as well: those programs ask for what the machine
// lacks, or for what no current runtime does. It does not build the programs
// (build.sh does) or the commands (make does).
package main

import (
	_ "embed"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"

	"kata/test/stage"
)

//go:embed exceptions
var exceptionsFile string

type options struct {
	programs, peer, bin, output string
	only                        *regexp.Regexp
	collect                     string // on a stage: the label of the runtime to run
	configs                     bool   // be the program that tries configurations
}

func main() {
	o, err := parse()
	code := 0
	switch {
	case err != nil:
	case o.configs:
		err = tryConfigs()
	case o.collect != "":
		code = stage.Main(func() int { return onStage(o) })
	default:
		code, err = compareAll(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		code = 1
	}
	os.Exit(code)
}

func parse() (o options, err error) {
	flag.StringVar(&o.programs, "programs", "", "directory that build.sh printed")
	flag.StringVar(&o.peer, "peer", "runc", "runtime to compare with")
	flag.StringVar(&o.bin, "bin", "bin", "directory of kata-runtime")
	flag.StringVar(&o.output, "output", "bin/conformance", "directory for what the programs print")
	flag.StringVar(&o.collect, "collect", "", "only run the programs, with runtime runc or kata")
	flag.BoolVar(&o.configs, "configurations", false, "be the program that tries configurations with $RUNTIME")
	only := flag.String("run", "", "only programs that match this regular expression; exceptions of others are not checked")
	flag.Parse()
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, err
	}
	if o.peer, err = exec.LookPath(o.peer); err != nil {
		return o, err
	}
	for _, path := range []*string{&o.programs, &o.bin, &o.output, &o.peer} {
		if *path, err = filepath.Abs(*path); err != nil {
			return o, err
		}
	}
	return o, nil
}

// names of the programs that are to run, sorted.
func (o options) names() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(o.programs, "bin"))
	if err != nil {
		return nil, err
	}
	names := []string{configsProgram}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !o.only.MatchString(name) })
	if len(names) == 0 {
		return nil, fmt.Errorf("no program below %s matches %q", o.programs, o.only)
	}
	slices.Sort(names)
	return names, nil
}
