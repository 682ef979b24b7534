// Command kata-agent is PID 1 of a guest. It takes no arguments and is not meant
// to be run anywhere else.
package main

import (
	"fmt"
	"os"
	"runtime"

	"kata/agent"
)

// The first thread of a Go program never ends. One that had entered the namespaces of a
// container would keep them, and all that is mounted there, until the guest ends: so
// it does nothing but wait.
func init() { runtime.LockOSThread() }

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "kata-agent: I am the first process of a virtual machine; there is nothing for me to do here")
		os.Exit(2)
	}
	ended := make(chan error)
	go func() { ended <- agent.Run() }()
	fmt.Fprintln(os.Stderr, "kata-agent:", <-ended)
	agent.PowerOff()
}
