package uml_test

import (
	"testing"

	"kata/vm/uml"
	"kata/vm/vmtest"
)

func TestMain(m *testing.M) { vmtest.Main(m) }

const guest = "../../bin/guest/"

func TestPtrace(t *testing.T) {
	vmtest.Suite(t, uml.Driver{}, vmtest.Files{Kernel: guest + "linux-uml", Agent: guest + "kata-agent"})
}

func TestSeccomp(t *testing.T) {
	vmtest.Suite(t, uml.Driver{}, vmtest.Files{Kernel: guest + "linux-uml", Agent: guest + "kata-agent",
		Options: map[string]string{"mode": "seccomp"}})
}
