// Command kata is the command line for people: it runs containers, each with a
// kernel of its own, without an engine and without a daemon. It does
// not fetch images.
package main

import (
	"os"

	"kata/cli"
)

var version = "unknown" // set by the linker

func main() {
	cli.Version = version
	os.Exit(cli.Kata(os.Args[1:]))
}
