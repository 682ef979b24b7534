package uml_test

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"kata/jail"
	"kata/vm/uml"
	"kata/vm/vmtest"
)

func TestMain(m *testing.M) {
	if os.Args[0] == jail.InitName {
		jail.Init()
	}
	if _, _, e := syscall.AllThreadsSyscall(syscall.SYS_GETPID, 0, 0, 0); e == syscall.ENOTSUP {
		fmt.Println("the jail's first process cannot be a program with cgo: test with CGO_ENABLED=0")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

const guest = "../../bin/guest/"

func TestPtrace(t *testing.T) {
	vmtest.Suite(t, uml.Driver{}, vmtest.Files{Kernel: guest + "linux-uml", Agent: guest + "kata-agent"})
}

func TestSeccomp(t *testing.T) {
	vmtest.Suite(t, uml.Driver{}, vmtest.Files{Kernel: guest + "linux-uml", Agent: guest + "kata-agent",
		Options: map[string]string{"mode": "seccomp"}})
}
