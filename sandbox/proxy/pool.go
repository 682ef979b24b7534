package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kata/config"
	"kata/jail"
	"kata/sandbox"
	"kata/sandbox/compile"
	"kata/vm"
)

// The pool: proxies that own a machine which has started for nobody yet. Each waits
// on a socket of its own, in a directory for machines of one kind. The proxy that is
// started for a sandbox hands its request over to one of them, with its connections, and
// stays until the container is made. There is no daemon: who used a machine of a kind
// starts the proxies that are missing, and a waiting one ends when what it was made from
// changes.

// order is what a waiting machine is made from: one kind.
type order struct {
	Choice
	Arch      string
	MemoryMiB int     // the container's limit, 0 for none
	CPUs      float64 // likewise
	NICs      int
}

// orderOf is the kind of machine for a container, nil if there is no pool for it.
func orderOf(cfg *config.Config, ch *Choice, c *compile.Container, o *sandbox.Options) *order {
	if cfg.PoolSize == 0 || !o.Capabilities.Adopts || len(o.Machine.Disks) > 0 {
		return nil
	}
	n := 0
	if o.Network != nil {
		n = len(o.Network.Devices())
	}
	return &order{Choice: *ch, Arch: o.Machine.Arch, MemoryMiB: c.MemoryMiB, CPUs: c.CPUs, NICs: n}
}

// poolDir is where the machines of a kind wait. No container's id has such a letter.
func (o *order) dir(root string) string {
	b, _ := json.Marshal(o) // plain data
	sum := sha256.Sum256(b)
	return filepath.Join(root, poolName, hex.EncodeToString(sum[:8]))
}

const poolName = "~pool"

// claimRequest is what a waiting proxy is told, with the descriptors of an entrance.
type claimRequest struct {
	ID     string
	Create CreateRequest
}

const (
	// acceptTime is how long a waiting proxy may take to accept what it is asked.
	acceptTime = time.Second
	accepted   = "accepted\n"
)

// hand gives the entrance to a waiting proxy, and waits until that has made the
// container, or has told why it could not. It says whether there was one.
func (e *entrance) hand(req *CreateRequest, o *order) bool {
	sockets, _ := filepath.Glob(filepath.Join(o.dir(e.root), "*.sock"))
	for _, socket := range sockets {
		c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
		if err != nil {
			continue // it is claimed already, or gone
		}
		if e.offer(c, req) {
			// Until its end, this process stands for the container's owner.
			e.close()
			_, _ = c.Read(make([]byte, 1))
			c.Close()
			return true
		}
		c.Close()
	}
	return false
}

func (e *entrance) offer(c *net.UnixConn, req *CreateRequest) bool {
	b, err := json.Marshal(&claimRequest{e.id, *req})
	if err != nil {
		return false
	}
	var fds []int
	for _, f := range e.files() {
		fds = append(fds, int(f.Fd()))
	}
	if err := c.SetDeadline(time.Now().Add(acceptTime)); err != nil {
		return false
	}
	if _, _, err := c.WriteMsgUnix(b, unix.UnixRights(fds...), nil); err != nil {
		return false
	}
	answer := make([]byte, len(accepted))
	n, err := c.Read(answer)
	return err == nil && string(answer[:n]) == accepted && c.SetDeadline(time.Time{}) == nil
}

// refill starts the waiting proxies that are missing, as many as there are free slots.
func (o *order) refill(root string, size int) {
	b, err := json.Marshal(o)
	if err != nil {
		return
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer null.Close()
	dir := o.dir(root)
	for i := range size {
		slot, err := takeSlot(dir, i)
		if err != nil || slot == nil {
			continue
		}
		slot.leave() // the one that is started takes it
		proc, err := os.StartProcess("/proc/self/exe", []string{"kata-proxy", "--root", root, "--wait", string(b)},
			&os.ProcAttr{Dir: "/", Env: os.Environ(), Files: []*os.File{null, null, null}, Sys: &syscall.SysProcAttr{Setsid: true}})
		if err == nil {
			go func() { _, _ = proc.Wait() }()
		}
	}
}

// slot is a place in the pool: who has its file locked is, or starts, the machine in it.
// The kernel ends the lock with the process.
type slot struct {
	base string
	lock *os.File
}

// takeSlot takes one of the places in dir, or none if somebody has it.
func takeSlot(dir string, i int) (*slot, error) {
	s := &slot{base: filepath.Join(dir, fmt.Sprint(i))}
	for {
		err := os.MkdirAll(dir, 0o700)
		if err == nil {
			s.lock, err = os.OpenFile(s.base+".lock", os.O_CREATE|os.O_RDWR, 0o600)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) { // the last one that left takes the directory along
			return nil, err
		}
	}
	if err := unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		s.lock.Close()
		return nil, nil
	}
	// Whoever had it before may have removed the file since it was opened.
	mine, err := s.lock.Stat()
	if err != nil {
		return nil, err
	}
	if there, err := os.Stat(s.base + ".lock"); err != nil || !os.SameFile(mine, there) {
		s.lock.Close()
		return nil, nil
	}
	return s, nil
}

func (s *slot) socket() string  { return s.base + ".sock" }
func (s *slot) machine() string { return s.base + ".machine" }

// cgroup is that of the machine until it is claimed.
func (s *slot) cgroup() string {
	return fmt.Sprintf("/%s/%s-%s-%s", jail.DefaultParent, poolName, filepath.Base(filepath.Dir(s.base)), filepath.Base(s.base))
}

// leave frees the place, and what was in it.
func (s *slot) leave() {
	for _, name := range []string{s.socket(), s.machine(), s.base + ".lock"} {
		_ = os.Remove(name) // what is not there need not go
	}
	s.lock.Close()
	_ = os.Remove(filepath.Dir(s.base)) // others may be in it
	_ = os.Remove(filepath.Dir(filepath.Dir(s.base)))
}

// fingerprint is what changes when a file is replaced or written.
type fingerprint struct {
	dev, ino uint64
	size     int64
	modified unix.Timespec
}

func fingerprints(files []string) ([]fingerprint, error) {
	var all []fingerprint
	for _, file := range files {
		var st unix.Stat_t
		if err := unix.Stat(file, &st); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, fingerprint{st.Dev, st.Ino, st.Size, st.Mtim})
	}
	return all, nil
}

// inputs are the files that a waiting machine, and the proxy that has it, come from.
func inputs(cfg *config.Config, m vm.Spec) ([]string, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if cfg.Source == config.BuiltIn {
		return nil, errors.New("a pool takes a configuration file")
	}
	return []string{exe, cfg.Source, m.Kernel, m.Agent}, nil
}
