// Command kata is the command line for people: it runs containers, each with a
// kernel of its own, without an engine and without a daemon. It does
// not fetch images.
package main

import (
	"os"

	"kata/cli"
	"kata/sandbox/proxy"
	_ "kata/vm/all" // check asks the drivers, template saves their machines
)

var version = "unknown" // set by the linker

func main() {
	proxy.Hook()
	cli.Version = version
	os.Exit(cli.Kata(os.Args[1:]))
}
