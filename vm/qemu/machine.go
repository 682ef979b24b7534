package qemu

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"kata/guest/initrd"
	"kata/jail"
	"kata/network"
	"kata/vm"
	"kata/vm/template"
	"kata/vm/virtiofsd"
)

// Paths in the jail.
const (
	kernelPath = "/linux"
	initrdPath = "/initrd"
	sharePath  = "/share"
	memoryPath = "/memory"
	kvmPath    = "/dev/kvm"
)

type machine struct {
	*jail.Process
	target  *target
	spec    vm.Spec
	channel net.Conn
	greeted []byte // what the agent has said on it, and nobody has read
	monitor *monitor
	carrier carrier
	wires   []*wire               // of a machine whose frames the owner carries
	taps    []*network.Tap        // of all others,
	parking *os.File              // and where those are that stand for no interface yet
	failed  atomic.Pointer[error] // why the start from a template did not work
	notes   []string
	// template says why the one it started from is not good any more; nil without one.
	template func() error

	// daemon serves the shares by virtiofs; nil where QEMU itself does. gone is closed
	// when both have ended.
	daemon *virtiofsd.Daemon
	gone   chan struct{}

	sizeMu  sync.Mutex // one change of the machine after the other
	plugged plugged
}

// capabilities over files whose owner the user namespace maps: what a guest's root
// needs to own, read and change the files that it was given.
var capabilities = []int{unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_FOWNER, unix.CAP_FSETID}

func start(s vm.Spec) (*machine, error) {
	t, accel, err := admit(s)
	if err != nil {
		return nil, prepareError(err)
	}
	files, err := t.inputs(s, accel)
	if err != nil {
		return nil, prepareError(err)
	}
	cfg := t.jailConfig(s, accel, single, files)
	if byVirtiofs(s.Options) {
		return t.bootWithDaemon(s, accel, cfg)
	}
	return t.boot(s, accel, cfg)
}

func prepareError(err error) error { return &vm.BootError{Phase: vm.PhasePrepare, Cause: err} }

// boot starts a machine of which nothing is there yet.
func (t *target) boot(s vm.Spec, accel accelerator, cfg *jail.Config) (*machine, error) {
	return (&machine{target: t, carrier: t.carries(s, accel)}).boot(s, cfg)
}

// boot is run for a machine that loads a kernel.
func (m *machine) boot(s vm.Spec, cfg *jail.Config, more ...*os.File) (*machine, error) {
	archive, err := writeInitrd(s)
	if err != nil {
		return nil, prepareError(err)
	}
	// The jail keeps the file, the directory need not.
	defer os.Remove(archive)
	cfg.Binds = append(cfg.Binds, jail.Bind{Source: archive, Target: initrdPath, ReadOnly: true})
	return m.run(s, cfg, more...)
}

// run starts QEMU, with more descriptors after those of every machine.
func (m *machine) run(s vm.Spec, cfg *jail.Config, more ...*os.File) (_ *machine, err error) {
	m.spec = s
	files, err := m.descriptors(s)
	defer closeAll(files)
	if err != nil {
		m.disconnect()
		return nil, prepareError(err)
	}
	cfg.Files = files
	for _, d := range s.Disks {
		cfg.Files = append(cfg.Files, d.File)
	}
	cfg.Files = append(cfg.Files, more...)
	if m.Process, err = jail.Start(cfg); err != nil {
		m.disconnect()
		return nil, &vm.BootError{Phase: vm.PhaseVMM, Cause: err}
	}
	for _, w := range m.wires {
		w.run()
	}
	return m, nil
}

// admit refuses what cannot work before anything is made for it.
func admit(s vm.Spec) (*target, accelerator, error) {
	if n := runtime.NumCPU(); s.VCPUs > n {
		return nil, "", fmt.Errorf("%d virtual CPUs; this host has %d", s.VCPUs, n)
	}
	t, err := targetOf(s.Arch, s.Options)
	if err != nil {
		return nil, "", err
	}
	accel, err := choose(t, s.Options)
	return t, accel, err
}

// inputs are the host's files that QEMU and the guest consist of.
func (t *target) inputs(s vm.Spec, accel accelerator) ([]template.Input, error) {
	if err := t.checkKernel(s.Kernel); err != nil {
		return nil, err
	}
	files, err := t.installation(accel, s.Options)
	if err != nil {
		return nil, err
	}
	return append(files, template.Input{Path: s.Kernel, Place: kernelPath}), nil
}

// jailConfig is the jail without the files that are made for one machine.
func (t *target) jailConfig(s vm.Spec, accel accelerator, k kind, files []template.Input) *jail.Config {
	var binds []jail.Bind
	for _, f := range files {
		if f.Place != "" {
			binds = append(binds, jail.Bind{Source: f.Path, Target: f.Place, ReadOnly: true})
		}
	}
	if accel == kvm {
		binds = append(binds, jail.Bind{Source: kvmPath, Target: kvmPath, Device: true})
	}
	keep, calls := capabilities, syscalls
	if byVirtiofs(s.Options) {
		// Nothing that QEMU could do to a file: the daemon does.
		keep, calls = nil, slices.Concat(syscalls, daemonSyscalls)
	} else {
		for _, sh := range s.Shares {
			binds = append(binds, sh.Bind(sharePath))
		}
	}
	types := ioctlTypes
	if t.carries(s, accel).vhost {
		types = append(slices.Clone(types), vhostIoctls)
	}
	var khz int64
	if accel == tcg && t.told && k != clone {
		khz = counterKHz()
	}
	return &jail.Config{
		Dir: s.Dir, Binds: binds, Dirs: []string{sharePath},
		Proc: "/proc", // QEMU changes modes and attributes of shared files by /proc/self/fd
		Args: t.commandLine(s, accel, k, khz), Env: []string{"QEMU_MODULE_DIR=" + modulePath},
		CPUs: s.CPUs, Cgroup: s.Cgroup, Capabilities: keep, Syscalls: calls, Ioctls: ioctls, IoctlTypes: types,
		Rlimits: []jail.Rlimit{{Resource: unix.RLIMIT_CORE, Value: 0}, {Resource: unix.RLIMIT_NOFILE, Value: 65536}},
	}
}

// writeInitrd puts the agent into an archive in the machine's directory.
func writeInitrd(s vm.Spec) (path string, err error) {
	agent, err := os.Open(s.Agent)
	if err != nil {
		return "", fmt.Errorf("agent: %w", err)
	}
	defer agent.Close()
	fi, err := agent.Stat()
	if err != nil {
		return "", fmt.Errorf("agent: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(s.Dir, "initrd"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := initrd.Write(w, agent, fi.Size()); err != nil {
		return "", err
	}
	return f.Name(), w.Flush()
}

// descriptors are QEMU's, in the order of the constants. The caller closes them,
// also with an error.
func (m *machine) descriptors(s vm.Spec) (files []*os.File, err error) {
	stdin, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	w.Close() // nothing comes: an end instead of a device of the host's
	files = append(files, stdin)
	console, err := vm.ConsolePipe(s.Console)
	if err != nil {
		return files, err
	}
	files = append(files, console, console)
	channel, guest, err := vm.ChannelPair()
	if err != nil {
		return files, err
	}
	m.channel = channel
	files = append(files, guest)
	if m.monitor, guest, err = newMonitor(); err != nil {
		return files, err
	}
	files = append(files, guest)
	for _, nic := range s.NICs {
		ends, err := m.link(nic)
		files = append(files, ends...)
		if err != nil {
			return files, err
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close() // standard output and error are one: the second time is harmless
	}
}

// disconnect gives up the host's ends, except for the channel of a running machine.
func (m *machine) disconnect() {
	m.sizeMu.Lock()
	defer m.sizeMu.Unlock()
	m.closeLinks()
	if m.Process == nil && m.channel != nil {
		m.channel.Close()
	}
	if m.monitor != nil {
		m.monitor.Close()
	}
}

func (m *machine) Channel() io.ReadWriteCloser { return m }

// Read reads from the channel.
func (m *machine) Read(p []byte) (int, error) {
	if len(m.greeted) > 0 {
		n := copy(p, m.greeted)
		m.greeted = m.greeted[n:]
		return n, nil
	}
	return m.channel.Read(p)
}

// Write writes to the channel.
func (m *machine) Write(p []byte) (int, error) { return m.channel.Write(p) }

// Close closes the channel.
func (m *machine) Close() error { return m.channel.Close() }

// Notes implements vm.Noted.
func (m *machine) Notes() []string { return m.notes }

func (m *machine) PID() int { return m.Process.PID }
