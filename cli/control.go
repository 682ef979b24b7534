package cli

import (
	"fmt"
	"slices"

	"kata/sandbox/proxy"
)

func cmdPause(a *app, args []string) error { return a.simple("pause", proxy.Pause, args) }

func cmdResume(a *app, args []string) error { return a.simple("resume", proxy.Resume, args) }

// simple is a verb that takes an id only.
func (a *app) simple(name string, op proxy.Operation, args []string) error {
	id, err := oneID(newFlags(name), args)
	if err != nil {
		return err
	}
	_, err = a.call(id, &proxy.Request{Op: op})
	return err
}

// What a virtual machine's guest cannot do has a verb as well, so that whoever asks
// is told why.
func cmdCheckpoint(_ *app, args []string) error { return noCheckpoint("checkpoint", args) }

func cmdRestore(_ *app, args []string) error { return noCheckpoint("restore", args) }

func noCheckpoint(verb string, args []string) error {
	if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
		return helpError{newFlags(verb)}
	}
	return fmt.Errorf("%s: not supported: CRIU cannot reach the processes of a virtual machine", verb)
}
