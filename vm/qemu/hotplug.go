package qemu

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"kata/vm"
)

// hotPorts is how many devices can be added to a machine of type q35: each takes a
// port of the PCI Express root, and each port takes time at the boot.
const hotPorts = 8

// hotArgs are the ports, which the guest's kernel watches: that of QEMU that asks it
// by ACPI is off.
func (t *target) hotArgs() (args []string) {
	if !t.hot {
		return nil
	}
	args = append(args, "-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off")
	for i := range hotPorts {
		args = append(args, "-device", fmt.Sprintf("pcie-root-port,id=%s,chassis=%d,bus=pcie.0,addr=1c.%d,multifunction=on", portName(i), i+1, i))
	}
	return args
}

func portName(i int) string { return fmt.Sprintf("port%d", i) }

// plugged is what has been added to a machine.
type plugged struct {
	ports [hotPorts]string // ids of devices
	disks map[string]int   // numbers, by serial
	next  int              // number that nothing has had
}

var errNoPort = fmt.Errorf("no port is free: this machine takes at most %d devices while it runs", hotPorts)

// plug adds a device at a free port.
func (m *machine) plug(id, driver string, properties map[string]any) error {
	i := slices.Index(m.plugged.ports[:], "")
	if i < 0 {
		return errNoPort
	}
	device := maps.Clone(properties)
	device["id"], device["driver"], device["bus"] = id, driver+m.target.device, portName(i)
	if err := m.monitor.run("device_add", device, nil); err != nil {
		return err
	}
	m.plugged.ports[i] = id
	return nil
}

// AddDisk implements vm.Machine.
func (m *machine) AddDisk(_ context.Context, d vm.Disk) error {
	if !m.target.hot {
		return vm.ErrNoHotDisks
	}
	m.sizeMu.Lock()
	defer m.sizeMu.Unlock()
	n := len(m.spec.Disks) + m.plugged.next
	m.plugged.next++
	if err := m.monitor.run("add-fd", map[string]any{"fdset-id": n}, nil, d.File); err != nil {
		return err
	}
	err := m.monitor.run("blockdev-add", blockdev(n, d), nil)
	if err == nil {
		err = m.plug(diskName(n), "virtio-blk", map[string]any{"drive": diskName(n), "serial": d.Serial})
		if err != nil {
			_ = m.monitor.run("blockdev-del", map[string]any{"node-name": diskName(n)}, nil)
		}
	}
	if err != nil {
		_ = m.monitor.run("remove-fd", map[string]any{"fdset-id": n}, nil)
		return err
	}
	if m.plugged.disks == nil {
		m.plugged.disks = map[string]int{}
	}
	m.plugged.disks[d.Serial] = n
	return nil
}

// How long QEMU may need for a device that the guest has switched off.
const (
	unplugTime = 5 * time.Second
	unplugPoll = 10 * time.Millisecond
)

// RemoveDisk implements vm.Machine.
func (m *machine) RemoveDisk(ctx context.Context, serial string) error {
	if !m.target.hot {
		return vm.ErrNoHotDisks
	}
	m.sizeMu.Lock()
	defer m.sizeMu.Unlock()
	n, ok := m.plugged.disks[serial]
	if !ok {
		return fmt.Errorf("no disk %s was added to the machine", serial)
	}
	ctx, cancel := context.WithTimeout(ctx, unplugTime)
	defer cancel()
	for {
		err := m.monitor.run("blockdev-del", map[string]any{"node-name": diskName(n)}, nil)
		if err == nil {
			break
		}
		if _, busy := errors.AsType[*refusal](err); !busy {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the guest keeps disk %s: %w", serial, err)
		case <-time.After(unplugPoll):
		}
	}
	delete(m.plugged.disks, serial)
	m.plugged.ports[slices.Index(m.plugged.ports[:], diskName(n))] = ""
	return m.monitor.run("remove-fd", map[string]any{"fdset-id": n}, nil)
}
