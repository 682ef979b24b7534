package qemu

import (
	"fmt"

	"kata/vm"
)

// Adopt implements vm.Adopter.
func (m *machine) Adopt(s vm.Spec) error {
	if len(s.NICs) != len(m.spec.NICs) {
		return fmt.Errorf("qemu: the machine was started with %d network devices, not %d", len(m.spec.NICs), len(s.NICs))
	}
	if s.Cgroup != nil {
		for _, j := range m.jails() {
			if err := j.Move(s.Cgroup); err != nil {
				return err
			}
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
	for i, w := range m.wires {
		if err := w.connect(s.NICs[i]); err != nil {
			return err
		}
		w.run()
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
