// Command hostile is a first process of a guest that attacks its host by what it
// sends: the tests boot it in the agent's place. It does nothing that an agent does
// beyond the greeting.
package main

import (
	"bytes"
	"os"
	"strings"
	"syscall"
)

var mode = "noise" // set by the linker

func main() {
	// Where a kernel has not done it.
	_ = syscall.Mkdir("/dev", 0o755)
	_ = syscall.Mkdir("/proc", 0o755)
	_ = syscall.Mount("proc", "/proc", "proc", 0, "")
	_ = syscall.Mount("dev", "/dev", "devtmpfs", 0, "")
	file := "/dev/kmsg"
	if mode == "console" {
		_ = os.WriteFile("/proc/sys/kernel/printk_devkmsg", []byte("on"), 0)
	} else {
		file = channel()
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	what := []byte("<0>flood of the console\n")
	switch mode {
	case "noise":
		what = bytes.Repeat([]byte("noise"), 1000)
	case "greeting and noise":
		write(f, []byte("KATA\x00\x01"))
		what = bytes.Repeat([]byte("noise"), 1000)
	case "greeting and streams":
		write(f, []byte("KATA\x00\x01"))
		for id := uint32(2); ; id += 2 {
			// Id, type, reserved, length; kind, name.
			write(f, []byte{byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id), 1, 0, 0, 2, 2, 'x'})
		}
	}
	for {
		write(f, what)
	}
}

// write goes on when the host has hung up: only the host ends this.
func write(f *os.File, p []byte) { _, _ = f.Write(p) }

// channel is what the kernel's command line names.
func channel() string {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		panic(err)
	}
	for _, word := range strings.Fields(string(line)) {
		if name, ok := strings.CutPrefix(word, "kata.channel="); ok {
			return name
		}
	}
	panic("no channel")
}
