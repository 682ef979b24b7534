package qemu_test

import (
	"testing"

	"kata/vm/qemu"
	"kata/vm/vmtest"
)

func TestTemplates(t *testing.T) {
	vmtest.Suite(t, qemu.Driver{}, vmtest.Files{Kernel: guest + "linux-x86_64", Agent: guest + "kata-agent",
		Options: map[string]string{"accelerator": "tcg", "template": "true", "template_dir": t.TempDir() + "/template"}})
}
