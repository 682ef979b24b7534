package qemu_test

import (
	"testing"

	"kata/vm/qemu"
	"kata/vm/vmtest"
)

func TestMain(m *testing.M) { vmtest.Main(m) }

const guest = "../../bin/guest/"

// files are those of an emulated machine of amd64, with more options by key and value.
func files(options ...string) vmtest.Files {
	f := vmtest.Files{Kernel: guest + "linux-x86_64", Agent: guest + "kata-agent", Options: map[string]string{"accelerator": "tcg"}}
	for i := 0; i < len(options); i += 2 {
		f.Options[options[i]] = options[i+1]
	}
	return f
}

func TestEmulated(t *testing.T) {
	vmtest.Suite(t, qemu.Driver{}, files())
}

func TestQ35(t *testing.T) {
	vmtest.Suite(t, qemu.Driver{}, files("machine", "q35"))
}

func TestEmulatedReturnsMemory(t *testing.T) {
	vmtest.ReturnsMemory(t, qemu.Driver{}, files())
}
