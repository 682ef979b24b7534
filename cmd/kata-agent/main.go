// Command kata-agent is PID 1 of a guest. It takes no arguments and is not meant
// to be run anywhere else.
package main

import (
	"fmt"
	"os"

	"kata/agent"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "kata-agent: I am the first process of a virtual machine; there is nothing for me to do here")
		os.Exit(2)
	}
	err := agent.Run()
	fmt.Fprintln(os.Stderr, "kata-agent:", err)
	agent.PowerOff()
}
