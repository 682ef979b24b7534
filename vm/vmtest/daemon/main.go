// Command daemon passes for a virtiofsd until it is to serve something. Tests of drivers
// put it in the place of the host's. It does not serve anything.
package main

import (
	"fmt"
	"os"
	"time"
)

// mode is what it does then, set by the linker: "fail", "hang", or "lie", which it does
// when it is asked for its version already.
var mode = "fail"

func main() {
	switch {
	case mode == "lie":
		fmt.Println("imitator 1.0")
	case len(os.Args) == 2 && os.Args[1] == "--version":
		fmt.Println("virtiofsd 9.9.9")
	case mode == "hang":
		time.Sleep(time.Hour)
	default:
		fmt.Fprintln(os.Stderr, "warming up\nno serving today")
		os.Exit(3)
	}
}
