package shim

import (
	"fmt"
	"os"

	"kata/sandbox/state"
)

// readyFD is where kata-shim says that it is attached, or why not: one line, which
// is empty when all is well. Then it closes it.
const readyFD = 3

// Main is the life of kata-shim; the result is its exit code. more is the number of
// descriptors, from the one after readyFD on, that the process gets besides standard I/O.
func Main(dir state.Dir, exec string, terminal bool, consoleSocket string, more int) int {
	ready := os.NewFile(readyFD, "ready")
	o := Options{Dir: dir, Exec: exec, Terminal: terminal, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	var s *Shim
	var err error
	if o.More, err = Inherited(readyFD+1, more); err == nil {
		s, err = attach(o, consoleSocket)
	}
	if err != nil {
		fmt.Fprintln(ready, err)
		return 1
	}
	s.ForwardSignals()
	if err := enterRoot(dir); err != nil {
		fmt.Fprintln(ready, err)
		return 1
	}
	fmt.Fprintln(ready)
	ready.Close()
	status, err := s.Wait()
	if err != nil && !terminal {
		fmt.Fprintln(os.Stderr, "kata-shim:", err)
	}
	return status
}

func attach(o Options, consoleSocket string) (*Shim, error) {
	if o.Terminal {
		console, err := OpenConsole(consoleSocket)
		if err != nil {
			return nil, err
		}
		o.Console = console
	}
	s, err := Attach(o)
	if err != nil {
		return nil, err
	}
	s.Resize()
	return s, nil
}
