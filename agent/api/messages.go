package api

import (
	"fmt"
	"strconv"
	"strings"
)

// The messages of agent.proto. Paths are the guest's unless said otherwise.

// Version is the version of this protocol; host and agent must agree.
const Version = 1

// Service is the ttrpc service name.
const Service = "kata.agent.v1.Agent"

// Empty carries nothing.
type Empty struct{}

// HelloRequest opens the conversation.
type HelloRequest struct {
	Version uint32 `pb:"1"`
}

// HelloResponse says who answers.
type HelloResponse struct {
	Version       uint32 `pb:"1"`
	KernelRelease string `pb:"2"`
	// UptimeNs is the time from the start of the guest's clock to the start of
	// the agent's main function.
	UptimeNs uint64 `pb:"3"`
	// RSSKiB is the most resident memory that the agent has had.
	RSSKiB uint64 `pb:"4"`
	// MemoryKiB is what the guest's kernel calls MemTotal.
	MemoryKiB uint64 `pb:"5"`
}

// SandboxRequest prepares the guest for containers.
type SandboxRequest struct {
	// TimeNs is the host's wall clock, nanoseconds since the epoch.
	TimeNs int64 `pb:"1"`
	// Entropy reseeds the guest's random generator.
	Entropy []byte `pb:"2"`
	// Hostname of the guest itself.
	Hostname string `pb:"3"`
	// Share is how the guest mounts what the host shares; it appears at ShareDir.
	Share *Mount `pb:"4"`
	// ShareLate says that its device may come only now: the guest waits for it.
	ShareLate bool `pb:"5"`
}

// ShareDir is where the host's shared directories appear in the guest.
const ShareDir = "/run/kata/share"

// Mount is mount(2), with the source or the destination still to be resolved
// inside the container's root filesystem.
type Mount struct {
	Source string `pb:"1"`
	Target string `pb:"2"`
	Type   string `pb:"3"`
	// Flags are MS_* of mount(2) without propagation.
	Flags uint64 `pb:"4"`
	// Propagation is the MS_SHARED, MS_PRIVATE, MS_SLAVE, MS_UNBINDABLE part,
	// with or without MS_REC.
	Propagation uint64 `pb:"5"`
	Data        string `pb:"6"`
	// Shared says that Source is relative to ShareDir.
	Shared bool `pb:"7"`
	// ClearFlags are MS_* that a bind mount must not have.
	ClearFlags uint64 `pb:"44"`
	// AttrSet and AttrClear are MOUNT_ATTR_* of mount_setattr(2) for the mount and
	// all below it.
	AttrSet   uint64 `pb:"45"`
	AttrClear uint64 `pb:"46"`
	// CopyUp copies into the mount what the target has.
	CopyUp bool   `pb:"47"`
	IDMap  *IDMap `pb:"48"`
}

// IDMap makes the owners of a mount's files others than those in its file system.
type IDMap struct {
	UIDs      []IDMapping `pb:"1"`
	GIDs      []IDMapping `pb:"2"`
	Recursive bool        `pb:"3"` // with the mounts below it
}

// IDMapping is one line of user_namespaces(7)'s uid_map.
type IDMapping struct {
	Container uint32 `pb:"1"`
	Host      uint32 `pb:"2"` // in the guest; files have the same number on the host
	Size      uint32 `pb:"3"`
}

// Rlimit is one setrlimit(2).
type Rlimit struct {
	Type uint32 `pb:"1"`
	Soft uint64 `pb:"2"`
	Hard uint64 `pb:"3"`
}

// Capabilities are the five sets as bit masks, bit n being capability n.
type Capabilities struct {
	Bounding    uint64 `pb:"1"`
	Effective   uint64 `pb:"2"`
	Inheritable uint64 `pb:"3"`
	Permitted   uint64 `pb:"4"`
	Ambient     uint64 `pb:"5"`
}

// Process is what runs in a container.
type Process struct {
	Args            []string     `pb:"1"`
	Env             []string     `pb:"2"`
	Cwd             string       `pb:"3"`
	UID             uint32       `pb:"4"`
	GID             uint32       `pb:"5"`
	Groups          []uint32     `pb:"6"`
	Capabilities    Capabilities `pb:"7"`
	Rlimits         []Rlimit     `pb:"8"`
	NoNewPrivileges bool         `pb:"9"`
	Terminal        bool         `pb:"10"`
	Rows            uint32       `pb:"11"`
	Columns         uint32       `pb:"12"`
	Umask           uint32       `pb:"13"`
	UmaskSet        bool         `pb:"14"`
	OOMScoreAdj     int32        `pb:"15"`
	OOMScoreAdjSet  bool         `pb:"16"`
	Stdin           bool         `pb:"17"` // a stream for standard input follows
	SeparateStderr  bool         `pb:"18"` // false with a terminal
	Scheduler       *Scheduler   `pb:"20"`
	IOPriority      uint32       `pb:"21"` // as ioprio_set(2) takes it, 0 for none
	CPUAffinity     []byte       `pb:"22"` // as sched_setaffinity(2) takes it, empty for none
	Descriptors     []uint32     `pb:"23"` // what the process does with 3 and up, each of which has a stream
}

// What a process does with a descriptor.
const (
	Reads  = 1
	Writes = 2
)

// MaxDescriptors is how many a process may get besides standard I/O.
const MaxDescriptors = 32

// Device is a node that the container's /dev gets.
type Device struct {
	Path  string `pb:"1"`
	Mode  uint32 `pb:"2"` // file type and permissions, as mknod(2) takes them
	Major uint32 `pb:"3"`
	Minor uint32 `pb:"4"`
	UID   uint32 `pb:"5"`
	GID   uint32 `pb:"6"`
	// Need says what there must be behind the node.
	Need uint32 `pb:"140"`
	// Name is what the host's kernel calls the device, if that is known: the number
	// may be another one's in the guest.
	Name string `pb:"141"`
}

// KeyValue is a file of cgroup v2 or a sysctl, and what is written to it.
type KeyValue struct {
	Key   string `pb:"1"`
	Value string `pb:"2"`
}

// CreateRequest makes a container up to the point where its process waits for Start.
type CreateRequest struct {
	ID string `pb:"1"`
	// Rootfs is relative to ShareDir.
	Rootfs       string `pb:"2"`
	RootReadonly bool   `pb:"3"`
	RootfsShare  uint64 `pb:"4"` // propagation of the root mount, MS_*
	// Namespaces are CLONE_NEW* that the container gets of its own. With
	// CLONE_NEWNET, that becomes the network of the sandbox.
	Namespaces    uint64     `pb:"5"`
	Hostname      string     `pb:"6"`
	Domainname    string     `pb:"7"`
	Mounts        []Mount    `pb:"8"`
	MaskedPaths   []string   `pb:"9"`
	ReadonlyPaths []string   `pb:"10"`
	Devices       []Device   `pb:"11"`
	Sysctls       []KeyValue `pb:"12"`
	Cgroup        []KeyValue `pb:"13"`
	Process       Process    `pb:"14"`
	Seccomp       Seccomp    `pb:"20"` // of every process of the container
	Personality   uint32     `pb:"21"` // PER_*, likewise
	// StartHooks run in the container before its process does, each with HookState
	// on its standard input.
	StartHooks []Hook `pb:"40"`
	HookState  []byte `pb:"41"`
	// Joins are namespaces of other containers that this one shares.
	Joins []Join `pb:"42"`
	// Share, if set, is mounted at the container's directory below ShareDir: a file
	// system of its own for what it shares with the host.
	Share *Mount `pb:"43"`
	// UIDs and GIDs are those of a new user namespace, in Namespaces.
	UIDs []IDMapping `pb:"100"`
	GIDs []IDMapping `pb:"101"`
	// DeviceFilter is a program of type BPF_PROG_TYPE_CGROUP_DEVICE, an array of
	// struct bpf_insn; empty is none.
	DeviceFilter []byte `pb:"102"`
	// TimeOffsets are those of a new time namespace, in Namespaces.
	TimeOffsets []TimeOffset `pb:"150"`
}

// TimeOffset is one line of time_namespaces(7)'s timens_offsets.
type TimeOffset struct {
	Clock       uint32 `pb:"1"` // CLOCK_MONOTONIC or CLOCK_BOOTTIME
	Seconds     int64  `pb:"2"`
	Nanoseconds uint32 `pb:"3"`
}

// Join names a namespace by a container that is in it and has not ended.
type Join struct {
	Namespace uint64 `pb:"1"` // CLONE_NEWPID, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWTIME or CLONE_NEWUSER
	Container string `pb:"2"`
}

// Scheduler is struct sched_attr.
type Scheduler struct {
	Policy   uint32 `pb:"1"`
	Flags    uint64 `pb:"2"`
	Nice     int32  `pb:"3"`
	Priority uint32 `pb:"4"`
	Runtime  uint64 `pb:"5"` // this and the next two in nanoseconds
	Deadline uint64 `pb:"6"`
	Period   uint64 `pb:"7"`
}

// FreezeRequest stops the processes of a container, or lets them go on.
type FreezeRequest struct {
	ID     string `pb:"1"`
	Frozen bool   `pb:"2"`
}

// UpdateRequest sets files of the container's cgroup, in their order.
type UpdateRequest struct {
	ID     string     `pb:"1"`
	Cgroup []KeyValue `pb:"2"`
	// CheckMemory refuses a memory limit below what is in use.
	CheckMemory bool `pb:"3"`
	// DeviceFilter, if it is not empty, replaces that of the container.
	DeviceFilter []byte `pb:"100"`
}

// StatsResponse holds files of the container's cgroup, as the kernel writes them.
type StatsResponse struct {
	Files []KeyValue `pb:"1"`
}

// Seccomp is a system call filter; an empty program is none.
type Seccomp struct {
	// Program is an array of struct sock_filter, little endian.
	Program []byte `pb:"1"`
	Flags   uint32 `pb:"2"` // SECCOMP_FILTER_FLAG_*
}

// Hook is a program of the container that runs as its process would.
type Hook struct {
	Path string   `pb:"1"`
	Args []string `pb:"2"`
	Env  []string `pb:"3"`
	// InheritEnv gives it the environment of the container's process.
	InheritEnv bool `pb:"4"`
	// TimeoutSeconds is when it is killed; 0 is never.
	TimeoutSeconds uint32 `pb:"5"`
}

// ProcessRequest names a process: an empty Exec is the container's first.
type ProcessRequest struct {
	ID   string `pb:"1"`
	Exec string `pb:"2"`
}

// ExecRequest starts another process in a running container.
type ExecRequest struct {
	ID      string  `pb:"1"`
	Exec    string  `pb:"2"`
	Process Process `pb:"3"`
	Cgroup  string  `pb:"4"` // an existing one below the container's; empty for that
}

// StartResponse says what was started.
type StartResponse struct {
	// PID is the process' id in the guest.
	PID uint32 `pb:"1"`
}

// SignalRequest sends a signal to one process, or to all of a container.
type SignalRequest struct {
	ID     string `pb:"1"`
	Exec   string `pb:"2"`
	Signal uint32 `pb:"3"`
	All    bool   `pb:"4"`
}

// WaitResponse is how a process ended.
type WaitResponse struct {
	// Status is the exit code, or 128 plus the signal's number.
	Status uint32 `pb:"1"`
	// OOMKilled says that the guest's kernel killed in this container for memory.
	OOMKilled bool `pb:"2"`
}

// ResizeRequest sets the size of a process' terminal.
type ResizeRequest struct {
	ID      string `pb:"1"`
	Exec    string `pb:"2"`
	Rows    uint32 `pb:"3"`
	Columns uint32 `pb:"4"`
}

// ProcessesResponse lists the processes of a container.
type ProcessesResponse struct {
	Processes []ProcessInfo `pb:"1"`
}

// ProcessInfo is one line of ps.
type ProcessInfo struct {
	PID     uint32 `pb:"1"`
	PPID    uint32 `pb:"2"`
	UID     uint32 `pb:"3"`
	CPUTick uint64 `pb:"4"` // user and system time, 1/100 s
	TTY     uint32 `pb:"5"` // the device's number as proc(5) has it, 0 for none
	Command string `pb:"6"`
	Age     uint64 `pb:"7"` // 1/100 s since its start
}

// Code is the kind of an error that the agent returns, numbered as gRPC does
// (ttrpc carries these numbers).
type Code int32

// The kinds that the agent uses.
const (
	CodeOK            Code = 0
	CodeUnknown       Code = 2
	CodeInvalid       Code = 3
	CodeNotFound      Code = 5 // no such container or process
	CodeAlreadyExists Code = 6
	CodePrecondition  Code = 9 // the container is not in a state for this
	CodeUnimplemented Code = 12
	// CodeNoCommand and CodeNotExecutable say why a process could not be
	// started: what a shell reports as 127 and 126.
	CodeNoCommand     Code = 127
	CodeNotExecutable Code = 126
)

// Error is an error with a kind that crosses the wire.
type Error struct {
	Code    Code
	Message string
}

func (e *Error) Error() string { return e.Message }

// StreamName is the name of the channel stream that carries descriptor fd of a
// process; exec is empty for a container's first one.
func StreamName(id, exec string, fd int) string { return id + "/" + exec + "/" + strconv.Itoa(fd) }

// ValidName says whether a name can be part of a path and of a stream's name.
func ValidName(s string) error {
	if s == "" || len(s) > 256 || s == "." || s == ".." || strings.ContainsAny(s, "/\x00") {
		return fmt.Errorf("%q is no valid name", s)
	}
	return nil
}
