package qemu

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"kata/check"
	"kata/network"
	"kata/vm"
)

// carrier is what carries the frames of a machine's network devices: tap devices with so
// many queues, or, with none, the owner.
type carrier struct {
	queues int
	vhost  bool // the host's kernel does what QEMU would do for each frame
}

// maxQueues bounds the queues of a device: each has memory in the guest.
const maxQueues = 8

// What the host has; a process asks once.
var (
	hostHasTun      = sync.OnceValue(func() bool { return check.This().Tun() == nil })
	hostHasVhostNet = sync.OnceValue(func() bool { return check.This().Vhost(check.VhostNet) == nil })
)

// carries is what carries the frames of the devices of a machine such as s. An emulated
// machine has nothing of vhost: QEMU is its processor, too.
func (t *target) carries(s vm.Spec, accel accelerator) carrier {
	if relayed(s.Options) {
		return carrier{}
	}
	return carrier{queues: min(max(s.VCPUs, 1), maxQueues), vhost: accel == kvm && hostHasVhostNet() && t.vhostNet()}
}

// vhostNet says whether QEMU was built with it. One that was not has no device at all
// when it is asked for, and so the words in its constants that it would say then.
func (t *target) vhostNet() bool {
	binary, err := t.findBinary()
	if err != nil {
		return false // a start says so
	}
	if known, ok := vhostNets.Load(binary); ok {
		return known.(bool)
	}
	f, err := elf.Open(binary)
	if err != nil {
		return false
	}
	defer f.Close()
	constants := f.Section(".rodata")
	if constants == nil {
		return false
	}
	without := false
	err = scan(constants.Open(), func(block []byte) {
		without = without || bytes.Contains(block, []byte("vhost-net support is not compiled in"))
	})
	vhostNets.Store(binary, err == nil && !without)
	return err == nil && !without
}

// vhostNets remembers what vhostNet found, by path.
var vhostNets sync.Map

// relayed says that the owner carries frames: it is asked to, or the host has no tap
// devices.
func relayed(options map[string]string) bool { return options["network"] == "relay" || !hostHasTun() }

// descriptors is how many QEMU gets for one device.
func (c carrier) descriptors() int {
	n := max(c.queues, 1)
	if c.vhost {
		n *= 2
	}
	return n
}

// netArgs are the network devices, with descriptors from nicFD on.
func (t *target) netArgs(s vm.Spec, c carrier) (args []string) {
	for i, nic := range s.NICs {
		first := nicFD + i*c.descriptors()
		backend := fmt.Sprintf("dgram,id=net%d,local.type=fd,local.str=%d", i, first)
		device := fmt.Sprintf("netdev=net%d,mac=%s", i, nic.MAC)
		if c.queues > 0 {
			backend = fmt.Sprintf("tap,id=net%d,fds=%s", i, numbers(first, c.queues))
		}
		if c.queues > 1 {
			device += ",mq=on"
		}
		if c.vhost {
			backend += ",vhost=on,vhostfds=" + numbers(first+c.queues, c.queues)
		}
		args = append(args, "-netdev", backend, "-device", t.virtio("net", device)+t.noROM)
	}
	return args
}

// numbers lists n numbers as QEMU lists descriptors.
func numbers(first, n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprint(first+i))
	}
	return strings.Join(list, ":")
}

// link makes the host's end of a device and returns QEMU's, which the caller closes, also
// with an error.
func (m *machine) link(nic vm.NIC) (ends []*os.File, err error) {
	if m.carrier.queues == 0 {
		w, guest, err := newWire(nic)
		if err != nil {
			return nil, err
		}
		m.wires = append(m.wires, w)
		return []*os.File{guest}, nil
	}
	where := nic.Namespace
	if where == nil {
		if m.parking == nil {
			if m.parking, err = network.Make(); err != nil {
				return nil, err
			}
		}
		where = m.parking
	}
	tap, err := network.NewTap(where, m.carrier.queues, where == m.parking)
	if err != nil {
		return nil, fmt.Errorf("network device %s: %w", nic.MAC, err)
	}
	defer func() {
		if err != nil {
			tap.Close()
		}
	}()
	for _, q := range tap.Queues {
		fd, err := unix.FcntlInt(q.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return ends, fmt.Errorf("network device %s: %w", nic.MAC, err)
		}
		ends = append(ends, os.NewFile(uintptr(fd), q.Name()))
	}
	for i := 0; m.carrier.vhost && i < len(tap.Queues); i++ {
		f, err := os.OpenFile(check.VhostNet, os.O_RDWR, 0)
		if err != nil {
			return ends, fmt.Errorf("network device %s: %w", nic.MAC, err)
		}
		ends = append(ends, f)
	}
	m.taps = append(m.taps, tap)
	return ends, nil
}

// unlink takes back the last link, of which QEMU has nothing.
func (m *machine) unlink() {
	if n := len(m.wires); n > 0 {
		m.wires[n-1].close()
		m.wires = m.wires[:n-1]
	}
	if n := len(m.taps); n > 0 {
		m.taps[n-1].Close()
		m.taps = m.taps[:n-1]
	}
}

// closeLinks gives the host's ends up.
func (m *machine) closeLinks() {
	for _, w := range m.wires {
		w.close()
	}
	for _, t := range m.taps {
		t.Close()
	}
	if m.parking != nil {
		m.parking.Close()
	}
}

// Tap implements vm.Tapped.
func (m *machine) Tap(device int) *network.Tap {
	m.sizeMu.Lock()
	defer m.sizeMu.Unlock()
	return m.taps[device]
}
