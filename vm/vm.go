package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"kata/check"
	"kata/jail"
	"kata/network"
	"kata/vm/template"
)

// Isolation is what stands between a guest and the host.
type Isolation string

const (
	// Hardware: the CPU's virtualization extensions separate the guest.
	Hardware Isolation = "hardware"
	// Software: the guest is host processes in a jail (a user-mode kernel, an
	// emulator). Weaker, and only used where it is allowed.
	Software Isolation = "software"
)

// ParseIsolation reads an Isolation. Error: neither "hardware" nor "software".
func ParseIsolation(s string) (Isolation, error) {
	switch i := Isolation(s); i {
	case Hardware, Software:
		return i, nil
	}
	return "", fmt.Errorf("isolation %q: must be %q or %q", s, Hardware, Software)
}

// Satisfies says whether i is at least minimum.
func (i Isolation) Satisfies(minimum Isolation) bool { return i == Hardware || minimum == Software }

// Capabilities are what a driver can do on this host.
type Capabilities struct {
	Isolation Isolation
	// MaxVCPUs is how many virtual CPUs a machine may have.
	MaxVCPUs int
	// OverheadMiB is the host memory that a machine may need beyond the guest's.
	OverheadMiB int
	// MaxNICs is how many network devices a machine may have.
	MaxNICs int
	// Carrier is how network devices exchange frames with the host.
	Carrier network.Carrier
	// MaxDisks is how many disks a machine may have.
	MaxDisks int
	// KernelFile and AgentFile are the names of the guest's kernel that the driver
	// boots, and of its agent; "" is the agent for the host's architecture.
	KernelFile, AgentFile string
	// BootFactor is how many times longer than the configuration says a boot may
	// take, because all code is emulated; 0 is 1.
	BootFactor int
	// HotShares says that AddShare works.
	HotShares bool
	// Adopts says that machines can be started before it is known for whom: they are
	// Adopters.
	Adopts bool
	// HotMemory says that SetMemory works.
	HotMemory bool
	// HotCPUs says that SetVCPUs works.
	HotCPUs bool
	// HotDisks says that AddDisk and RemoveDisk work.
	HotDisks bool
	// HotNICs says that AddNIC works.
	HotNICs bool
}

// Driver makes machines with one virtual machine monitor.
type Driver interface {
	// Name is what the configuration calls the driver.
	Name() string
	// Probe says what the driver can do on this host, or why it cannot work here
	// (Unavailable). It answers within a second and starts nothing that stays.
	Probe(options map[string]string) (Capabilities, error)
	// Start boots a machine. It returns once the monitor runs; the guest is up
	// when its agent speaks on the Channel. When ctx ends before that, or it
	// fails, nothing is left. Errors: BootError.
	Start(ctx context.Context, s Spec) (Machine, error)
}

// Inspector is a driver that can look closer at this host than Probe does, which is
// part of every start; a start that fails for one of these reasons names it, too.
type Inspector interface {
	// Inspect returns why the driver would not work here (Unavailable), within a
	// second or two.
	Inspect(options map[string]string) error
}

// Variant is one of several ways in which a driver can make machines.
type Variant struct {
	Name    string
	Options map[string]string // the settings that ask for it
}

// Varied is a driver that has several.
type Varied interface {
	Variants() []Variant
}

// Templated is a driver whose machines can start from saved ones, which it saves when
// it is first asked for such a machine, or before.
type Templated interface {
	Driver
	// SaveTemplate saves a machine such as s and returns the template's id; one that
	// is there and good is kept. What belongs to one machine plays no part.
	SaveTemplate(ctx context.Context, s Spec) (id string, err error)
	// Templates is where they are.
	Templates(options map[string]string) *template.Store
}

// Unavailable is why a driver cannot work on this host.
type Unavailable struct {
	Driver string
	Kind   check.Kind
	Cause  string // what is missing
	Remedy string // what to do about it
	Err    error  // the system's error, or nil
}

// NotAvailable is a fact about the host that stands in a driver's way.
func NotAvailable(driver string, r *check.Reason) *Unavailable {
	return &Unavailable{Driver: driver, Kind: r.Kind, Cause: r.Cause, Remedy: r.Remedy, Err: r.Err}
}

func (e *Unavailable) Error() string {
	if e.Remedy == "" {
		return fmt.Sprintf("%s: %s", e.Driver, e.Cause)
	}
	return fmt.Sprintf("%s: %s; %s", e.Driver, e.Cause, e.Remedy)
}

func (e *Unavailable) Unwrap() error { return e.Err }

// Spec is everything that a machine is made from. It is plain data.
type Spec struct {
	// Name identifies the sandbox; it appears in the names of processes and files.
	Name string
	// Dir is an existing host directory that the machine may use for files of its
	// own; the caller removes it after the machine's end.
	Dir string
	// Kernel and Agent are host paths of the guest's kernel and of PID 1.
	Kernel, Agent string
	// Arch is the guest's architecture, in Go's names; "" is the host's.
	Arch string
	// MemoryMiB is the guest's memory.
	MemoryMiB int
	VCPUs     int
	// Shares are host directories and files that the guest sees.
	Shares []Share
	// NICs are the network devices. Those that the guest does not set up cost it
	// nothing.
	NICs []NIC
	// Disks are the machine's disks.
	Disks []Disk
	// Cgroup holds every host process of the machine; may be nil.
	Cgroup *jail.Cgroup
	// CPUs are the host CPUs to stay on; empty lets the driver choose by itself.
	CPUs []int
	// Console receives what the guest's kernel prints; may be nil.
	Console io.Writer
	// Verbose asks the guest's kernel to print more.
	Verbose bool
	// Options are the driver's own settings, from its table of the configuration.
	Options map[string]string
}

// Share is a host directory or file in the guest, below where the agent mounts
// the machine's GuestShare.
type Share struct {
	// Name is its path below the share: one or more elements, no "..".
	Name     string
	Source   string
	ReadOnly bool
	// Overlay are the options of an overlay file system of the host, which is shared
	// instead of Source's files.
	Overlay string
}

// Bind is what lets the share into a jail, below dir.
func (s Share) Bind(dir string) jail.Bind {
	return jail.Bind{Source: s.Source, Overlay: s.Overlay, Target: dir + "/" + s.Name, ReadOnly: s.ReadOnly, Recursive: true}
}

// NIC is a network device of a machine.
type NIC struct {
	// Socket is a packet socket that carries the device's frames, with the carriers that
	// are such. With network.LongPackets each has a struct virtio_net_hdr in front (VIRTIO
	// 1.3, section 5.1.6; 10 bytes, of the host's byte order); else Ethernet's header is
	// the first. It may be bound while the machine runs. Nil is for a machine that is
	// adopted later.
	Socket *os.File
	// Namespace is, with network.Taps, where the machine makes the device's tap; nil is a
	// place from where it can be fetched, see Tapped.
	Namespace *os.File
	// MAC is the hardware address that the device starts with.
	MAC net.HardwareAddr
}

// Disk is a disk of a machine. What the guest writes is in the File when the guest
// has flushed it, or when none of its processes has the disk open any more.
type Disk struct {
	// File is a block device or a regular file, open for writing unless ReadOnly. The
	// machine has nothing else of it: no name, and no request that leads elsewhere.
	File     *os.File
	ReadOnly bool
	// Serial is the name by which the guest finds the disk, in /sys/block/*/serial: at
	// most 20 letters and digits.
	Serial string
}

// Machine is a running virtual machine. Its methods may be called concurrently.
type Machine interface {
	// Channel is the byte stream to the agent. It ends when the machine does.
	Channel() io.ReadWriteCloser
	// GuestShare is the mount(2) by which the guest sees the shares.
	GuestShare() GuestMount
	// AddShare lets one more host file or directory into the running machine: it
	// appears in the guest below the GuestShare, by its Name. RemoveShare takes it
	// away, whether or not the guest still uses it. Only with Capabilities.HotShares.
	AddShare(s Share) error
	RemoveShare(name string) error
	// SetMemory changes how much memory the running guest has, in MiB, and returns how
	// much that is. More than was asked for is no error: a guest keeps what it uses. Only
	// with Capabilities.HotMemory.
	SetMemory(ctx context.Context, mib int) (int, error)
	// SetVCPUs adds virtual CPUs to the running machine until it has so many. The guest
	// has them when it has switched them on. Only with Capabilities.HotCPUs.
	SetVCPUs(ctx context.Context, n int) error
	// AddDisk attaches one more disk to the running machine; the guest finds it soon
	// after. RemoveDisk takes it away when the guest has let it go. Only with
	// Capabilities.HotDisks.
	AddDisk(ctx context.Context, d Disk) error
	RemoveDisk(ctx context.Context, serial string) error
	// AddNIC gives the running machine one more network device; the guest finds it soon
	// after. Only with Capabilities.HotNICs.
	AddNIC(ctx context.Context, nic NIC) error
	// SetCPUs changes the CPUs of the host that the machine stays on; none lets the host
	// choose.
	SetCPUs(cpus []int) error
	// PID is the host process that, with its descendants, is the machine's monitor. Daemons
	// that it needs are other children of this process.
	PID() int
	// Kill ends the machine at once. Done follows.
	Kill()
	// Done is closed when no process of the machine runs any more.
	Done() <-chan struct{}
	// Err says why the machine ended; valid after Done, nil for an orderly end.
	Err() error
}

// Noted is a machine with something to tell about its start that is no error.
type Noted interface {
	// Notes are sentences of one line each; none if all went as it should.
	Notes() []string
}

// Tapped is a machine with the carrier network.Taps.
type Tapped interface {
	// Tap is the host's end of a network device: one of the Spec's, or of those that were
	// added, which come after them.
	Tap(device int) *network.Tap
}

// Adopter is a machine that may be started for nobody yet, without shares and with
// network devices that have no Socket.
type Adopter interface {
	// Adopt gives it what belongs to one sandbox: Shares, the NICs' Sockets, Cgroup
	// and CPUs. It is called once at most, before the guest mounts the GuestShare.
	Adopt(s Spec) error
	// Outdated is why it should not be adopted any more: what it was made from has
	// changed.
	Outdated() error
}

// ErrNoHotShares is what machines without that capability answer.
var ErrNoHotShares = errors.New("this machine monitor cannot let files into a running machine")

// NoHotShares is for machines that lack the capability to embed.
type NoHotShares struct{}

// AddShare implements Machine.
func (NoHotShares) AddShare(Share) error { return ErrNoHotShares }

// RemoveShare implements Machine.
func (NoHotShares) RemoveShare(string) error { return ErrNoHotShares }

// GuestMount is a mount(2) for the agent to make.
type GuestMount struct {
	Source, Type, Data string
	Flags              uint64
	// Below says that a directory of the share can be mounted by itself, with its
	// path appended to Data, as a file system with inodes of its own.
	Below bool
	// Late says that the guest has its device only soon after the machine's start.
	Late bool
}

// Phase is a part of a machine's start.
type Phase string

// The phases, in order.
const (
	PhasePrepare Phase = "prepare"
	PhaseVMM     Phase = "start of the monitor"
	PhaseKernel  Phase = "boot of the kernel"
	PhaseAgent   Phase = "start of the agent"
)

// BootError is a machine that did not start: in which phase, why, and the last
// lines of its console. %v is one line; %+v adds the console.
type BootError struct {
	Phase   Phase
	Cause   error
	Console string
}

func (e *BootError) Error() string {
	s := fmt.Sprintf("machine failed at the %s: %v", e.Phase, e.Cause)
	if l := lastLine(e.Console); l != "" {
		s += fmt.Sprintf(" (console: %q)", l)
	}
	return s
}

// Format implements fmt.Formatter.
func (e *BootError) Format(f fmt.State, verb rune) {
	_, _ = io.WriteString(f, e.Error())
	if verb == 'v' && f.Flag('+') && e.Console != "" {
		_, _ = io.WriteString(f, "\n"+e.Console)
	}
}

func (e *BootError) Unwrap() error { return e.Cause }

// ErrBootTimeout is the cause of a BootError when the guest took too long.
var ErrBootTimeout = errors.New("timed out")

// DefaultBootTimeout is how long a machine may take until its agent answers.
const DefaultBootTimeout = 10 * time.Second
