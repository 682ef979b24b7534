// Command kata-runtime is an OCI runtime: it has runc's command line, and gives
// every container a kernel of its own. It does not
// need a daemon.
package main

import (
	"os"

	"kata/cli"
)

var version = "unknown" // set by the linker

func main() {
	cli.Version = version
	os.Exit(cli.Runtime(os.Args[1:]))
}
