package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// chosen is the driver that the tests run with, unless they are about one: "uml", or
// "qemu", which then emulates. Without it the commands choose.
var chosen = os.Getenv("KATA_TEST_HYPERVISOR")

// settings completes a configuration file with the chosen driver, and with a directory
// of the tests' own for saved machines.
func settings(text string) string {
	if chosen != "" && !strings.Contains(text, "hypervisor") {
		return "hypervisor = \"" + chosen + "\"\n" + text + emulated()
	}
	if strings.Contains(text, "[qemu]") {
		return text
	}
	return text + "\n[qemu]\n" + templateDir()
}

// emulated is the part of a configuration file that has QEMU emulate.
func emulated() string { return "\n[qemu]\naccelerator = \"tcg\"\n" + templateDir() }

func templateDir() string { return fmt.Sprintf("template_dir = %q\n", savedMachines) }

// kernelFile is the kernel that the tests' machines boot.
func kernelFile() string {
	if chosen == "qemu" {
		return filepath.Join(guestDir, "linux-x86_64")
	}
	return filepath.Join(guestDir, "linux-uml")
}

// What is said of a file that is no kernel, and by a kernel whose first process is no
// program.
func noKernel() string {
	if chosen == "qemu" {
		return "is no whole ELF file"
	}
	return "is not a user-mode kernel"
}

func noInit() string {
	if chosen == "qemu" { // the agent is /init of an initial RAM disk
		return "No working init found"
	}
	return "Requested init /kata-agent failed"
}

// emulate makes the machines of h emulated ones, whatever the host could.
func (h *host) emulate() {
	h.t.Helper()
	h.flags = append(h.flags, "--hypervisor", "qemu")
	h.withConfig("hypervisor = \"qemu\"\n" + emulated())
}

// TestChosenHypervisor: the tests' machines are those that were asked for, and the
// best of the host if nothing was.
func TestChosenHypervisor(t *testing.T) {
	h := newHost(t)
	v := h.state(h.create(bundle(t)))
	if chosen != "" {
		equal(t, "hypervisor", v.Kata.Hypervisor, chosen)
	} else if v.Kata.Isolation == "software" {
		equal(t, "hypervisor", v.Kata.Hypervisor, "uml")
	}
}
