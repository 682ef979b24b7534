package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

func rawGroups(groups []uint32) error {
	var p unsafe.Pointer
	if len(groups) > 0 {
		p = unsafe.Pointer(&groups[0])
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(p), 0); e != 0 {
		return e
	}
	return nil
}

// roles are what another process does for a check.
var roles = map[string]func(args []string) string{}

// child is the life of such a process: its answer goes to standard output.
func child(role string, args []string) {
	var answer string
	if err := caught(func() { answer = roles[role](args) }); err != nil {
		answer = "error: " + err.Error()
	}
	fmt.Print(answer)
}

// other has another process play a role and returns its answer.
func other(role string, args ...string) string {
	out, err := otherCmd(role, args...).Output()
	ok(err)
	return string(out)
}

func otherCmd(role string, args ...string) *exec.Cmd {
	return exec.Command("/proc/self/exe", append([]string{"--child", role}, args...)...)
}

// beside runs f while another process plays a role, and returns that one's answer.
func beside(f func(), role string, args ...string) string {
	var out bytes.Buffer
	cmd := otherCmd(role, args...)
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	ok(cmd.Start())
	err := caught(f)
	if err != nil {
		_ = cmd.Process.Kill()
	}
	waited := cmd.Wait()
	ok(err)
	ok(waited)
	return strings.TrimSpace(out.String())
}
