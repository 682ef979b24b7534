// Package all registers the drivers, in one place. It contains nothing else and
// does not decide which driver is used.
package all

import (
	"kata/vm"
	"kata/vm/qemu"
	"kata/vm/uml"
)

func init() {
	vm.Register(uml.Driver{})
	vm.Register(qemu.Driver{}) // emulation is the last resort, and with KVM hardware comes first
}
