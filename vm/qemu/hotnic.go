package qemu

import (
	"context"
	"fmt"
	"os"
	"strings"

	"kata/vm"
)

// AddNIC implements vm.Machine.
func (m *machine) AddNIC(_ context.Context, nic vm.NIC) error {
	if !m.target.hot {
		return vm.ErrNoHotNICs
	}
	m.sizeMu.Lock()
	defer m.sizeMu.Unlock()
	ends, err := m.link(nic)
	defer closeAll(ends)
	if err != nil {
		return err
	}
	if err := m.plugNIC(nic, fmt.Sprintf("hotnet%d", m.plugged.next), ends); err != nil {
		m.unlink()
		return err
	}
	m.plugged.next++
	if n := len(m.wires); n > 0 {
		m.wires[n-1].run()
	}
	return nil
}

// plugNIC gives QEMU the descriptors that carry frames, and the guest the device.
func (m *machine) plugNIC(nic vm.NIC, name string, ends []*os.File) (err error) {
	var fds []string
	defer func() {
		for _, fd := range fds {
			if err != nil {
				_ = m.monitor.run("closefd", map[string]any{"fdname": fd}, nil) // unless it is the device's already
			}
		}
	}()
	for i, f := range ends {
		fd := fmt.Sprintf("%s-%d", name, i)
		if err := m.monitor.run("getfd", map[string]any{"fdname": fd}, nil, f); err != nil {
			return err
		}
		fds = append(fds, fd)
	}
	backend := map[string]any{"type": "dgram", "id": name, "local": map[string]any{"type": "fd", "str": fds[0]}}
	device := map[string]any{"netdev": name, "mac": nic.MAC.String(), "romfile": ""}
	if q := m.carrier.queues; q > 0 {
		backend = map[string]any{"type": "tap", "id": name, "fds": strings.Join(fds[:q], ":")}
		device["mq"] = q > 1
		if m.carrier.vhost {
			backend["vhost"], backend["vhostfds"] = true, strings.Join(fds[q:], ":")
		}
	}
	if err := m.monitor.run("netdev_add", backend, nil); err != nil {
		return err
	}
	err = m.plug("device-"+name, "virtio-net", device)
	if err != nil {
		_ = m.monitor.run("netdev_del", map[string]any{"id": name}, nil)
	}
	return err
}
