// Command kata-shim stands on the host for one process in a sandbox: the process
// id that an engine waits on. kata-runtime starts it; it is not meant to be run by
// hand.
package main

import (
	"flag"
	"os"
	"runtime"

	"kata/sandbox/shim"
	"kata/sandbox/state"
)

// The main goroutine stays on the main thread: its namespaces are the ones that
// /proc shows for this process, and that engines join.
func init() { runtime.LockOSThread() }

func main() {
	root := flag.String("root", state.DefaultRoot, "directory of the containers' state")
	id := flag.String("id", "", "container")
	exec := flag.String("exec", "", "process in the container; empty is its first")
	terminal := flag.Bool("terminal", false, "the process has a terminal")
	console := flag.String("console-socket", "", "socket of the engine that takes the terminal")
	more := flag.Int("descriptors", 0, "number of descriptors, from 4 on, that the process gets as 3 and up")
	flag.Parse()
	os.Exit(shim.Main(state.At(*root, *id), *exec, *terminal, *console, *more))
}
