package cli

import (
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/network"
)

// networkOf opens the network namespace that a container's sandbox takes over: the
// one that the configuration names, or a new one, in which engines put interfaces
// once they know the container's pid. A container in the foreground has no such
// engine, and needs none.
func networkOf(s *specs.Spec, c *createFlags) (*os.File, error) {
	if s.Linux == nil {
		return nil, nil
	}
	for i, ns := range s.Linux.Namespaces {
		if ns.Type != specs.NetworkNamespace {
			continue
		}
		switch {
		case ns.Path != "":
			f, err := network.OpenPath(ns.Path)
			if err != nil {
				return nil, fmt.Errorf("linux.namespaces[%d].path: %w", i, err)
			}
			return f, nil
		case c.detach:
			return network.Make()
		}
	}
	return nil, nil
}

// closeNetwork lets the namespace go; nil is fine.
func (k *created) closeNetwork() {
	if k.netns != nil {
		k.netns.Close()
	}
}

// startIn starts a process in the namespace ns, which may be nil.
func startIn(ns *os.File, name string, args []string, attr *os.ProcAttr) (proc *os.Process, err error) {
	if ns == nil {
		return os.StartProcess(name, args, attr)
	}
	err = network.Enter(ns, func() (err error) {
		proc, err = os.StartProcess(name, args, attr)
		return err
	})
	return proc, err
}
