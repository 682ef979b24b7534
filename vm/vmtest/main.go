package vmtest

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"kata/jail"
)

// Main is the TestMain of a driver's tests: the test's own program is the first
// process of its jails, which takes one without cgo.
func Main(m *testing.M) {
	if os.Args[0] == jail.InitName {
		jail.Init()
	}
	if _, _, e := syscall.AllThreadsSyscall(syscall.SYS_GETPID, 0, 0, 0); e == syscall.ENOTSUP {
		fmt.Println("the jail's first process cannot be a program with cgo: test with CGO_ENABLED=0")
		os.Exit(1)
	}
	os.Exit(m.Run())
}
