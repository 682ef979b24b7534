// Command kata-proxy owns one sandbox that was made through the OCI command line.
// kata-runtime starts it; it is not meant to be run by hand and reads no input of
// a user.
package main

import (
	"flag"
	"fmt"
	"os"

	"kata/sandbox/proxy"
	"kata/sandbox/state"
	_ "kata/vm/all"
)

func main() {
	proxy.Hook()
	root := flag.String("root", state.DefaultRoot, "directory of the containers' state")
	id := flag.String("id", "", "container that the sandbox is for")
	wait := flag.String("wait", "", "start a machine of this kind for the pool, and wait for a sandbox")
	flag.Parse()
	var err error
	if *wait != "" {
		err = proxy.Standby(*root, *wait)
	} else {
		err = proxy.Serve(*root, *id)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "kata-proxy:", err)
		os.Exit(1)
	}
}
