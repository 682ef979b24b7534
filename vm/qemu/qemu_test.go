package qemu_test

import (
	"testing"

	"kata/vm/qemu"
	"kata/vm/vmtest"
)

func TestMain(m *testing.M) { vmtest.Main(m) }

const guest = "../../bin/guest/"

func TestEmulated(t *testing.T) {
	vmtest.Suite(t, qemu.Driver{}, vmtest.Files{Kernel: guest + "linux-x86_64", Agent: guest + "kata-agent",
		Options: map[string]string{"accelerator": "tcg"}})
}

func TestQ35(t *testing.T) {
	vmtest.Suite(t, qemu.Driver{}, vmtest.Files{Kernel: guest + "linux-x86_64", Agent: guest + "kata-agent",
		Options: map[string]string{"accelerator": "tcg", "machine": "q35"}})
}

func TestEmulatedReturnsMemory(t *testing.T) {
	vmtest.ReturnsMemory(t, qemu.Driver{}, vmtest.Files{Kernel: guest + "linux-x86_64", Agent: guest + "kata-agent",
		Options: map[string]string{"accelerator": "tcg"}})
}
