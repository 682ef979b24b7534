package qemu_test

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"kata/jail"
	"kata/vm/qemu"
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

func TestEmulated(t *testing.T) {
	vmtest.Suite(t, qemu.Driver{}, vmtest.Files{Kernel: guest + "linux-x86_64", Agent: guest + "kata-agent",
		Options: map[string]string{"accelerator": "tcg"}})
}
