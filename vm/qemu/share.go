package qemu

import (
	"errors"
	"fmt"
	"os"
	"time"

	"kata/check"
	"kata/jail"
	"kata/vm"
	"kata/vm/virtiofsd"
)

// How a guest gets the shares: from QEMU itself, or from a daemon in a jail of its own.
const (
	ninep    = "9p"
	virtiofs = "virtiofs"
)

// shareTag is the name by which the guest mounts the shares.
const shareTag = "share"

// shareQueue is how many requests can be under way.
const shareQueue = 1024

func byVirtiofs(options map[string]string) bool { return options["share"] == virtiofs }

// daemon is the program that serves shares, nil where QEMU does. Error: vm.Unavailable.
func daemon(options map[string]string) (*virtiofsd.Program, error) {
	switch want := options["share"]; want {
	case "", ninep:
		return nil, nil
	case virtiofs:
		p, err := virtiofsd.Find()
		if r, ok := errors.AsType[*check.Reason](err); ok {
			return nil, vm.NotAvailable(Name, r)
		}
		return p, err
	default:
		return nil, &vm.Unavailable{Driver: Name, Kind: check.Setting, Cause: "qemu.share = " + want, Remedy: "it must be \"9p\" or \"virtiofs\""}
	}
}

// shareArgs are the device, and what is behind it. The daemon reads and writes the
// guest's memory.
func (t *target) shareArgs(s vm.Spec, c carrier, k kind) []string {
	if sharesLate(s, k) {
		args := []string{"-device", t.late.device}
		if k == clone {
			args = append(args, "-chardev", fmt.Sprintf("socket,id=share,fd=%d", lastFD(s, c)+1))
		}
		return args
	}
	if byVirtiofs(s.Options) {
		return []string{
			"-object", fmt.Sprintf("memory-backend-memfd,id=memory,share=on,size=%dM", s.MemoryMiB), "-machine", "memory-backend=memory",
			"-chardev", fmt.Sprintf("socket,id=share,fd=%d", lastFD(s, c)),
			"-device", fmt.Sprintf("vhost-user-fs%s,chardev=share,queue-size=%d,tag=%s", t.modern(), shareQueue, shareTag),
			// The daemon knows no virtio before version 1.
			"-global", "virtio-mmio.force-legacy=off",
		}
	}
	return []string{
		// What is mounted below the share has numbers of other devices.
		"-fsdev", "local,id=share,path=" + sharePath + ",security_model=passthrough,multidevs=remap",
		"-device", t.virtio("9p", "fsdev=share", "mount_tag="+shareTag),
	}
}

// sharesLate says that the device for the shares comes when the machine runs: QEMU saves
// none that has a daemon behind it, nor starts one from a saved machine.
func sharesLate(s vm.Spec, k kind) bool { return k != single && byVirtiofs(s.Options) }

// addShareDevice gives the device to a machine that has started from a saved one.
func (m *machine) addShareDevice() error {
	for begin := time.Now(); ; time.Sleep(savePoll) {
		var st struct {
			Running bool `json:"running"`
		}
		if err := m.monitor.run("query-status", nil, &st); err != nil {
			return err
		}
		if st.Running {
			break
		}
		if time.Since(begin) > monitorTime {
			return errors.New("the machine does not run")
		}
	}
	return m.monitor.run("device_add", map[string]any{"driver": "vhost-user-fs-pci", "bus": latePortName,
		"chardev": "share", "queue-size": shareQueue, "tag": shareTag}, nil)
}

// bootWithDaemon is boot for a machine whose shares a daemon serves: one does not run
// without the other.
func (t *target) bootWithDaemon(s vm.Spec, accel accelerator, cfg *jail.Config) (*machine, error) {
	m := &machine{target: t, carrier: t.carries(s, accel)}
	return m.withDaemon(s, func(conn *os.File) (*machine, error) { return m.boot(s, cfg, conn) })
}

// withDaemon starts a machine and the daemon that it is connected with.
func (m *machine) withDaemon(s vm.Spec, start func(conn *os.File) (*machine, error)) (*machine, error) {
	p, err := daemon(s.Options)
	if err != nil {
		return nil, prepareError(err)
	}
	d, conn, err := virtiofsd.Start(p, s)
	if err != nil {
		return nil, &vm.BootError{Phase: vm.PhaseVMM, Cause: err}
	}
	defer conn.Close()
	m.daemon, m.gone = d, make(chan struct{})
	if _, err := start(conn); err != nil {
		d.Kill()
		<-d.Done()
		return nil, err
	}
	go m.bind()
	return m, nil
}

// bind ends the machine with its daemon, and the daemon with its machine. A daemon that
// ends orderly does so because QEMU has hung up: its end is awaited then, and it says why.
func (m *machine) bind() {
	defer close(m.gone)
	select {
	case <-m.Process.Done():
	case <-m.daemon.Done():
		if m.daemon.Process.Err() == nil {
			select {
			case <-m.Process.Done():
			case <-time.After(endGrace):
			}
		}
		select {
		case <-m.Process.Done():
		default:
			err := m.daemon.Err()
			m.failed.CompareAndSwap(nil, &err)
		}
	}
	m.Process.Kill()
	m.daemon.Kill()
	<-m.Process.Done()
	<-m.daemon.Done()
}

// daemonEnded says that QEMU was left alone by the daemon, whose end is said elsewhere.
func (m *machine) daemonEnded() bool {
	if m.daemon == nil {
		return false
	}
	select {
	case <-m.daemon.Done():
		return true
	case <-time.After(endGrace):
		return false
	}
}

// Done implements vm.Machine.
func (m *machine) Done() <-chan struct{} {
	if m.daemon != nil {
		return m.gone
	}
	return m.Process.Done()
}

// Err implements vm.Machine.
func (m *machine) Err() error {
	if err := m.failed.Load(); err != nil {
		return *err
	}
	return m.Process.Err()
}

// jails are those that the machine is in.
func (m *machine) jails() []*jail.Process {
	if m.daemon != nil {
		return []*jail.Process{m.Process, m.daemon.Process}
	}
	return []*jail.Process{m.Process}
}

// SetCPUs implements vm.Machine.
func (m *machine) SetCPUs(cpus []int) error {
	for _, j := range m.jails() {
		if err := j.SetCPUs(cpus); err != nil {
			return err
		}
	}
	return nil
}

// GuestShare implements vm.Machine. cache=mmap keeps pages of files that are open,
// for shared mappings, and asks the host for names each time: the host and other
// containers change them. The daemon says the same to the guest itself.
func (m *machine) GuestShare() vm.GuestMount {
	if m.daemon != nil {
		return vm.GuestMount{Source: shareTag, Type: virtiofsd.FSType, Late: m.template != nil}
	}
	return vm.GuestMount{Source: shareTag, Type: "9p",
		Data: "trans=virtio,version=9p2000.L,msize=512000,access=client,cache=mmap"}
}

// AddShare implements vm.Machine.
func (m *machine) AddShare(s vm.Share) error {
	if m.daemon != nil {
		return m.daemon.AddShare(s)
	}
	return m.Attach(s.Bind(sharePath))
}

// RemoveShare implements vm.Machine.
func (m *machine) RemoveShare(name string) error {
	if m.daemon != nil {
		return m.daemon.RemoveShare(name)
	}
	return m.Detach(sharePath + "/" + name)
}
