// Package state is what the commands of the OCI command line know of containers
// without asking anybody: one directory for each, with a record, a socket of the
// process that owns the sandbox, and nothing else that matters.
//
// The record does not say whether a container runs: only the owner knows, and an
// owner that is gone means that it has stopped. The package starts and stops
// nothing, and it does not remove what belongs to others (cgroups, processes).
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// DefaultRoot is where the containers' directories are.
const DefaultRoot = "/run/kata"

// Files of a container's directory.
const (
	recordName = "state.json"
	socketName = "proxy.sock"
	// MachineDir is a mount point and scratch directory for the machine.
	MachineDir = "machine"
)

// Errors that callers tell apart.
var (
	ErrExists   = errors.New("container with given ID already exists")
	ErrNotExist = errors.New("container does not exist")
)

// Record is what create writes down. Fields are added as they become known, so
// that whatever is killed in between can be cleaned up.
type Record struct {
	ID          string            `json:"id"`
	OCIVersion  string            `json:"ociVersion"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	Owner       int               `json:"owner"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Hooks of the bundle as it was when the container was created.
	Hooks *specs.Hooks `json:"hooks,omitempty"`
	// Proxy owns the sandbox; Shim stands for the container's first process.
	Proxy Process `json:"proxy"`
	Shim  Process `json:"shim"`
	// Sandbox is the container that the sandbox was made with, if it was another.
	Sandbox string `json:"sandbox,omitempty"`
	// CgroupDirs are the host cgroup of the sandbox.
	CgroupDirs []string `json:"cgroupDirs,omitempty"`
	Isolation  string   `json:"isolation,omitempty"`
	Hypervisor string   `json:"hypervisor,omitempty"`
}

// Process names a host process for good: a process id alone may be somebody
// else's later.
type Process struct {
	PID int `json:"pid"`
	// Start is the 22nd field of /proc/PID/stat, in clock ticks after boot.
	Start uint64 `json:"start"`
}

// Identify looks a running process up. A process that is gone is the zero Process.
func Identify(pid int) Process {
	if s, zombie := startTime(pid); s != 0 && !zombie {
		return Process{pid, s}
	}
	return Process{}
}

// startTime is when a process was started, 0 if it is gone. A zombie's first thread has
// ended; others may still give up what they have.
func startTime(pid int) (start uint64, zombie bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	rest := string(b)[strings.LastIndexByte(string(b), ')')+1:]
	f := strings.Fields(rest)
	if len(f) < 20 {
		return 0, false
	}
	start, _ = strconv.ParseUint(f[19], 10, 64) // 0 is "gone" to the callers
	return start, f[0] == "Z"
}

// Alive says whether the process still runs.
func (p Process) Alive() bool {
	start, zombie := startTime(p.PID)
	return p.PID > 0 && start == p.Start && !zombie
}

// End waits until the process is gone with all its threads, for at most patience, and
// kills it then.
func (p Process) End(patience time.Duration) {
	if p.PID <= 0 {
		return
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if start, _ := startTime(p.PID); start != p.Start {
		return
	}
	wait := func(d time.Duration) bool {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for deadline := time.Now().Add(d); ; {
			n, err := unix.Poll(poll, int(max(time.Until(deadline), 0).Milliseconds()))
			if n > 0 || (!errors.Is(err, unix.EINTR) && time.Now().After(deadline)) {
				return n > 0
			}
		}
	}
	if wait(patience) {
		return
	}
	_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	wait(10 * time.Second)
}

// Dir is one container's directory.
type Dir struct{ path string }

// At is the directory of a container, which need not exist. The id must be valid
// (oci.ValidID).
func At(root, id string) Dir { return Dir{filepath.Join(root, id)} }

// Make creates the directory. Error: ErrExists.
func Make(root, id string) (Dir, error) {
	d := At(root, id)
	if err := os.MkdirAll(root, 0o711); err != nil {
		return d, fmt.Errorf("state directory: %w", err)
	}
	if err := os.Mkdir(d.path, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return d, ErrExists
		}
		return d, fmt.Errorf("state directory: %w", err)
	}
	if err := os.Mkdir(d.Machine(), 0o700); err != nil {
		_ = d.Remove()
		return d, fmt.Errorf("state directory: %w", err)
	}
	return d, nil
}

// Path of the directory.
func (d Dir) Path() string { return d.path }

// Machine is the directory that the machine may use.
func (d Dir) Machine() string { return filepath.Join(d.path, MachineDir) }

// Exists says whether there is such a container.
func (d Dir) Exists() bool {
	_, err := os.Stat(d.path)
	return err == nil
}

// Save replaces the record in one step.
func (d Dir) Save(r *Record) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	tmp := filepath.Join(d.path, recordName+".new")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("write the container's state: %w", err)
	}
	return os.Rename(tmp, filepath.Join(d.path, recordName))
}

// Load reads the record. Errors: ErrNotExist; a container that is being created
// or whose creation was killed may have a directory but no record.
func (d Dir) Load() (*Record, error) {
	b, err := os.ReadFile(filepath.Join(d.path, recordName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("read the container's state: %w", err)
	}
	r := &Record{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("the container's state is damaged: %w", err)
	}
	return r, nil
}

// Remove deletes the directory.
func (d Dir) Remove() error { return os.RemoveAll(d.path) }

// Listen makes the owner's socket, Dial connects to it. The name of a unix socket
// is limited to 108 bytes, a path is not: both go by the directory's descriptor.
func (d Dir) Listen() (*net.UnixListener, error) {
	var l *net.UnixListener
	err := d.bySocket(func(addr *net.UnixAddr) (err error) {
		l, err = net.ListenUnix("unix", addr)
		return err
	})
	if err == nil {
		l.SetUnlinkOnClose(false)
	}
	return l, err
}

// Dial connects to the owner. The error wraps ErrGone when there is none.
func (d Dir) Dial() (*net.UnixConn, error) {
	var c *net.UnixConn
	err := d.bySocket(func(addr *net.UnixAddr) (err error) {
		c, err = net.DialUnix("unix", nil, addr)
		return err
	})
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return nil, ErrGone
	}
	return c, err
}

// ErrGone says that the owner of a sandbox does not run any more.
var ErrGone = errors.New("the sandbox has ended")

func (d Dir) bySocket(f func(*net.UnixAddr) error) error {
	dir, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return f(&net.UnixAddr{Net: "unix", Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketName)})
}

// List returns the ids of the containers below root.
func List(root string) ([]string, error) {
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && !strings.Contains(e.Name(), "~") { // no id has one: it is the pool's
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}
