// Package uml is the driver for user-mode Linux: the guest's kernel is a host
// process, its user processes are host processes that it traces. It needs no
// virtualization at all, runs user code at native speed, and offers software
// isolation: the jail is the wall, and a guest that has taken its kernel over is
// a process in there. It does not offer snapshots or hotplug of devices.
package uml

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"kata/check"
	"kata/jail"
	"kata/network"
	"kata/vm"
)

// Name of the driver in the configuration.
const Name = "uml"

// Driver implements vm.Driver.
type Driver struct{}

// Name implements vm.Driver.
func (Driver) Name() string { return Name }

// Probe implements vm.Driver.
func (Driver) Probe(options map[string]string) (vm.Capabilities, error) {
	caps := vm.Capabilities{Isolation: vm.Software, MaxVCPUs: 1, KernelFile: "linux-uml", OverheadMiB: overheadMiB, HotShares: true, MaxNICs: maxNICs, Carrier: network.LongPackets, MaxDisks: maxDisks}
	if options["mode"] == "seccomp" {
		caps.MaxVCPUs = runtime.NumCPU()
	}
	if runtime.GOARCH != "amd64" {
		return caps, &vm.Unavailable{Driver: Name, Kind: check.HostArchitecture, Cause: "user-mode Linux exists for amd64 only",
			Remedy: "use another hypervisor"}
	}
	if b, err := os.ReadFile("/proc/sys/user/max_user_namespaces"); err == nil && strings.TrimSpace(string(b)) == "0" {
		return caps, &vm.Unavailable{Driver: Name, Kind: check.HostNamespaces, Cause: "user namespaces are switched off",
			Remedy: "set the sysctl user.max_user_namespaces above 0"}
	}
	return caps, nil
}

// Paths in the jail.
const (
	kernelPath = "/linux"
	guestRoot  = "/guest"
	sharePath  = "/share"
	memoryPath = "/memory"
)

// capabilities over files whose owner the user namespace maps: what a guest's root
// needs to own, read and change the files that it was given.
var capabilities = []int{unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_SETFCAP}

// ioctls are the requests that the kernel makes on what it inherits: is it a
// terminal, how large is a disk. A disk has others that lead beyond it: those of a
// loop device could give it another file.
var ioctls = []uint32{unix.TCGETS, unix.TIOCGWINSZ, unix.BLKGETSIZE64}

// maxNICs keeps the kernel's command line short.
const maxNICs = 32

// maxDisks is the kernel's MAX_DEV of the ubd driver.
const maxDisks = 16

// overheadMiB is what a machine may use beyond the guest's memory: the kernel's
// own data, page tables, and the stubs of guest processes.
const overheadMiB = 64

// Start implements vm.Driver.
func (Driver) Start(ctx context.Context, s vm.Spec) (vm.Machine, error) {
	mode, err := parseMode(s)
	if err != nil {
		return nil, &vm.BootError{Phase: vm.PhasePrepare, Cause: err}
	}
	if err := checkKernel(s.Kernel); err != nil {
		return nil, &vm.BootError{Phase: vm.PhasePrepare, Cause: err}
	}
	m := &machine{}
	cfg, guestEnds, err := m.jailConfig(s, mode)
	if err != nil {
		return nil, &vm.BootError{Phase: vm.PhasePrepare, Cause: err}
	}
	p, err := jail.Start(cfg)
	for _, f := range guestEnds {
		f.Close()
	}
	if err != nil {
		m.channel.Close()
		return nil, &vm.BootError{Phase: vm.PhaseVMM, Cause: err}
	}
	m.Process = p
	go func() {
		select {
		case <-ctx.Done():
			p.Kill()
		case <-p.Done():
		}
	}()
	return m, nil
}

// parseMode returns the value of the kernel's seccomp= parameter.
func parseMode(s vm.Spec) (string, error) {
	switch mode := s.Options["mode"]; mode {
	case "", "ptrace":
		if s.VCPUs > 1 {
			return "", fmt.Errorf("%d virtual CPUs need mode = \"seccomp\" in [uml], which is weaker inside the guest; ptrace mode has one", s.VCPUs)
		}
		return "off", nil
	case "seccomp":
		return "on", nil
	default:
		return "", fmt.Errorf("uml.mode = %q: must be \"ptrace\" or \"seccomp\"", mode)
	}
}

// checkKernel tells a file that is no kernel from one that does not boot.
func checkKernel(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	defer f.Close()
	magic := make([]byte, 20)
	if _, err := io.ReadFull(f, magic); err != nil || string(magic[:4]) != "\x7fELF" || magic[18] != 62 {
		return fmt.Errorf("kernel: %s is not a user-mode kernel for amd64", path)
	}
	return nil
}

// jailConfig prepares the jail; guestEnds are for the jail only.
func (m *machine) jailConfig(s vm.Spec, seccompMode string) (*jail.Config, []*os.File, error) {
	conn, guest, err := vm.ChannelPair()
	if err != nil {
		return nil, nil, err
	}
	m.channel = conn
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	console, err := vm.ConsolePipe(s.Console)
	if err != nil {
		return nil, nil, err
	}
	cfg := &jail.Config{
		Dir: s.Dir,
		Binds: []jail.Bind{
			{Source: s.Kernel, Target: kernelPath, ReadOnly: true},
			{Source: s.Agent, Target: guestRoot + "/kata-agent", ReadOnly: true},
		},
		Dirs:       []string{sharePath, guestRoot + "/dev", guestRoot + "/proc", guestRoot + "/sys", guestRoot + "/run", guestRoot + "/tmp"},
		Tmpfs:      memoryPath,
		TmpfsBytes: int64(s.MemoryMiB+16) << 20,
		Args:       append([]string{kernelPath}, commandLine(s, seccompMode)...),
		Env:        []string{"TMPDIR=" + memoryPath, "HOME=" + memoryPath},
		Files:      []*os.File{null, console, console, guest},
		CPUs:       s.CPUs,
		Cgroup:     s.Cgroup, Capabilities: capabilities, Syscalls: syscalls, Ioctls: ioctls,
		Rlimits:        []jail.Rlimit{{Resource: unix.RLIMIT_CORE, Value: 0}, {Resource: unix.RLIMIT_NOFILE, Value: 65536}},
		FixedAddresses: true,
	}
	for _, nic := range s.NICs {
		cfg.Files = append(cfg.Files, nic.Socket)
	}
	for _, d := range s.Disks {
		cfg.Files = append(cfg.Files, d.File)
	}
	for _, sh := range s.Shares {
		cfg.Binds = append(cfg.Binds, sh.Bind(sharePath))
	}
	return cfg, []*os.File{guest, null, console}, nil
}

// The descriptors of the kernel: standard I/O, the channel, the network devices, the
// disks.
const (
	channelFD = 3
	nicFD     = 4
)

// commandLine is the kernel's. lpj skips a 70 ms measurement of the CPU that only
// busy-waiting drivers need.
func commandLine(s vm.Spec, seccompMode string) []string {
	args := []string{
		"mem=" + strconv.Itoa(s.MemoryMiB) + "M",
		"uml_dir=" + memoryPath, "umid=vm",
		"rootfstype=hostfs", "rootflags=" + guestRoot, "ro", "init=/kata-agent", "devtmpfs.mount=1",
		"con=null", "con0=null,fd:2", "hostchan=" + strconv.Itoa(channelFD), "kata.channel=/dev/hostchan",
		"lpj=10000000", "random.trust_cpu=on", "cgroup_no_v1=all",
		// Sized for a container, not for a host of this memory: the defaults cost each
		// sandbox almost a megabyte, and the time to clear it.
		"dhash_entries=8192", "ihash_entries=4096", "thash_entries=1024", "uhash_entries=256",
		"panic=-1", "noreboot", "stderr=1", "console=stderr0", "console=tty0",
		"seccomp=" + seccompMode,
	}
	for i, nic := range s.NICs {
		// The queue's length is what a device in use costs: 64 KiB for each frame.
		args = append(args, fmt.Sprintf("vec%d:transport=fd,fd=%d,vnet=1,gro=1,depth=16,mac=%s", i, nicFD+i, nic.MAC))
	}
	for i, d := range s.Disks {
		flags := "f" // a descriptor
		if d.ReadOnly {
			flags = "rf"
		}
		args = append(args, fmt.Sprintf("ubd%d%s=%d,,%s", i, flags, nicFD+len(s.NICs)+i, d.Serial))
	}
	if s.VCPUs > 1 {
		args = append(args, "ncpus="+strconv.Itoa(s.VCPUs))
	}
	if !s.Verbose {
		args = append(args, "quiet")
	}
	return args
}

type machine struct {
	*jail.Process
	vm.NoHotMemory
	vm.NoHotCPUs
	vm.NoHotDisks
	vm.NoHotNICs
	channel net.Conn
}

func (m *machine) Channel() io.ReadWriteCloser { return m.channel }

func (m *machine) PID() int { return m.Process.PID }

func (m *machine) GuestShare() vm.GuestMount {
	return vm.GuestMount{Source: "share", Type: "hostfs", Data: sharePath, Below: true}
}

func (m *machine) AddShare(s vm.Share) error { return m.Attach(s.Bind(sharePath)) }

func (m *machine) RemoveShare(name string) error { return m.Detach(sharePath + "/" + name) }
