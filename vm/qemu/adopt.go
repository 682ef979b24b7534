package qemu

import (
	"fmt"

	"kata/vm"
)

// Adopt implements vm.Adopter.
func (m *machine) Adopt(s vm.Spec) error {
	if len(s.NICs) != len(m.wires) {
		return fmt.Errorf("qemu: the machine was started with %d network devices, not %d", len(m.wires), len(s.NICs))
	}
	if s.Cgroup != nil {
		if err := m.Move(s.Cgroup); err != nil {
			return err
		}
	}
	if len(s.CPUs) > 0 {
		if err := m.SetCPUs(s.CPUs); err != nil {
			return err
		}
	}
	for _, sh := range s.Shares {
		if err := m.AddShare(sh); err != nil {
			return err
		}
	}
	for i, nic := range s.NICs {
		if err := m.wires[i].connect(nic); err != nil {
			return err
		}
		m.wires[i].run()
	}
	return nil
}

// Outdated implements vm.Adopter.
func (m *machine) Outdated() error {
	if m.template == nil {
		return nil
	}
	return m.template()
}
