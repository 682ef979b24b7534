package qemu

import (
	"context"
	"fmt"
	"os"

	"kata/vm"
)

// AddNIC implements vm.Machine.
func (m *machine) AddNIC(_ context.Context, nic vm.NIC) error {
	if !m.target.hot {
		return vm.ErrNoHotNICs
	}
	m.sizeMu.Lock()
	defer m.sizeMu.Unlock()
	w, guest, err := newWire(nic)
	if err != nil {
		return err
	}
	defer guest.Close()
	if err := m.plugNIC(nic, fmt.Sprintf("hotnet%d", m.plugged.next), guest); err != nil {
		w.close()
		return err
	}
	m.plugged.next++
	m.wires = append(m.wires, w)
	w.run()
	return nil
}

// plugNIC gives QEMU a socket for frames, and the guest the device at its other end.
func (m *machine) plugNIC(nic vm.NIC, name string, guest *os.File) error {
	if err := m.monitor.run("getfd", map[string]any{"fdname": name}, nil, guest); err != nil {
		return err
	}
	err := m.monitor.run("netdev_add", map[string]any{"type": "dgram", "id": name, "local": map[string]any{"type": "fd", "str": name}}, nil)
	if err != nil {
		_ = m.monitor.run("closefd", map[string]any{"fdname": name}, nil)
		return err
	}
	err = m.plug("device-"+name, "virtio-net", map[string]any{"netdev": name, "mac": nic.MAC.String(), "romfile": ""})
	if err != nil {
		_ = m.monitor.run("netdev_del", map[string]any{"id": name}, nil)
	}
	return err
}
