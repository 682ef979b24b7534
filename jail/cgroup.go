package jail

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultCPUPeriod of a CPU quota, in microseconds: the kernel's.
const DefaultCPUPeriod = 100000

// Limits of a cgroup; zero means no limit.
type Limits struct {
	MemoryBytes int64
	// CPUQuota is microseconds of CPU time in each CPUPeriod microseconds.
	CPUQuota  int64
	CPUPeriod uint64
	CPUShares uint64 // as cgroup v1 counts them, 1024 being usual
	Pids      int64
}

// Cgroup is a host cgroup: one directory with v2, one in each hierarchy with v1.
type Cgroup struct {
	dirs    []string // to remove
	tasks   []string // v1: files that take a thread
	unified *os.File // v2: the directory
}

// controllers of v1 that the jail uses.
var controllers = []string{"memory", "cpu", "pids"}

const cgroupRoot = "/sys/fs/cgroup"

// Dirs are the cgroup's directories; they are kept in the sandbox's state so that
// anybody can remove them when the owner was killed.
func (c *Cgroup) Dirs() []string { return c.dirs }

// NewCgroup makes the cgroup path (below the root of the hierarchies) with limits.
// A hierarchy that is not mounted or not writable is an error only if a limit
// needs it.
func NewCgroup(path string, l Limits) (*Cgroup, error) {
	path = filepath.Clean("/" + path)
	for try := 1; ; try++ {
		c := &Cgroup{}
		err := c.make(path, l)
		if err == nil {
			return c, nil
		}
		c.Close()
		_ = RemoveCgroup(c.dirs)
		// Another sandbox that ends may take the empty parent away in between.
		if !errors.Is(err, fs.ErrNotExist) || try == makeTries {
			return nil, fmt.Errorf("host cgroup %s: %w", path, err)
		}
	}
}

// makeTries bounds the race for the parent; each further try needs another
// sandbox to end within microseconds.
const makeTries = 100

func (c *Cgroup) make(path string, l Limits) error {
	if hasV2Memory() {
		return c.makeV2(path, l)
	}
	return c.makeV1(path, l)
}

// CgroupDirs are the directories that NewCgroup makes for a path, on this host.
func CgroupDirs(path string) []string {
	path = filepath.Clean("/" + path)
	if hasV2Memory() {
		return []string{filepath.Join(cgroupRoot, path)}
	}
	var dirs []string
	for _, name := range controllers {
		if root := filepath.Join(cgroupRoot, name); isV1(root) {
			dirs = append(dirs, filepath.Join(root, path))
		}
	}
	return dirs
}

func isV1(root string) bool {
	_, err := os.Stat(filepath.Join(root, "tasks"))
	return err == nil
}

func hasV2Memory() bool {
	b, err := os.ReadFile(cgroupRoot + "/cgroup.controllers")
	return err == nil && strings.Contains(string(b), "memory")
}

type setting struct{ controller, file, value string }

func (c *Cgroup) makeV1(path string, l Limits) error {
	settings := []setting{
		{"memory", "memory.limit_in_bytes", number(l.MemoryBytes)},
		{"cpu", "cpu.cfs_period_us", number(int64(l.CPUPeriod))},
		{"cpu", "cpu.cfs_quota_us", number(l.CPUQuota)},
		{"cpu", "cpu.shares", number(int64(l.CPUShares))},
		{"pids", "pids.max", number(l.Pids)},
	}
	for _, name := range controllers {
		root := filepath.Join(cgroupRoot, name)
		if !isV1(root) {
			for _, s := range settings {
				if s.controller == name && s.value != "" {
					return fmt.Errorf("%s limits the sandbox, but the %s controller is not mounted", s.file, name)
				}
			}
			continue
		}
		dir := filepath.Join(root, path)
		if err := c.mkdir(root, dir); err != nil {
			return err
		}
		for _, s := range settings {
			if s.controller == name && s.value != "" {
				if err := os.WriteFile(filepath.Join(dir, s.file), []byte(s.value), 0); err != nil {
					return err
				}
			}
		}
		c.tasks = append(c.tasks, filepath.Join(dir, "tasks"))
	}
	return nil
}

func (c *Cgroup) makeV2(path string, l Limits) error {
	dir := filepath.Join(cgroupRoot, path)
	rel := strings.Split(strings.Trim(path, "/"), "/")
	for i := range rel { // every ancestor must pass the controllers on
		parent := filepath.Join(cgroupRoot, filepath.Join(rel[:i]...))
		if i > 0 {
			if err := os.Mkdir(parent, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
		if err := os.WriteFile(parent+"/cgroup.subtree_control", []byte("+memory +cpu +pids"), 0); err != nil {
			return fmt.Errorf("pass controllers on: %w", err)
		}
	}
	if err := c.mkdir(cgroupRoot, dir); err != nil {
		return err
	}
	var cpu string
	if l.CPUQuota > 0 && l.CPUPeriod > 0 {
		cpu = fmt.Sprintf("%d %d", l.CPUQuota, l.CPUPeriod)
	}
	for file, value := range map[string]string{"memory.max": number(l.MemoryBytes), "cpu.max": cpu, "pids.max": number(l.Pids), "cpu.weight": Weight(l.CPUShares)} {
		if value == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0); err != nil {
			return err
		}
	}
	f, err := os.Open(dir)
	c.unified = f
	return err
}

func number(n int64) string {
	if n <= 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// Weight converts v1's shares (2 to 262144) to v2's weight (1 to 10000); 0 is no weight.
func Weight(shares uint64) string {
	if shares == 0 {
		return ""
	}
	return strconv.FormatUint(1+((min(max(shares, 2), 262144)-2)*9999)/262142, 10)
}

// mkdir makes dir and its missing parents below root. Only dir is noted for
// removal: parents of a path that was asked for are the caller's.
func (c *Cgroup) mkdir(root, dir string) error {
	rel, err := filepath.Rel(root, dir)
	if err != nil {
		return err
	}
	at := root
	for part := range strings.SplitSeq(rel, "/") {
		at = filepath.Join(at, part)
		err := os.Mkdir(at, 0o755)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	c.dirs = append(c.dirs, dir)
	return nil
}

// Close frees the descriptors, not the cgroup. A nil one has none.
func (c *Cgroup) Close() {
	if c != nil && c.unified != nil {
		c.unified.Close()
	}
}

// removeTime is how long the kernel may take to let dead processes go.
const removeTime = 5 * time.Second

// RemoveCgroup kills what is left in the directories of a cgroup and removes
// them, and a parent that the runtime made for its sandboxes once it is empty.
func RemoveCgroup(dirs []string) error {
	var errs []error
	for _, dir := range dirs {
		if err := removeDir(dir); err != nil {
			errs = append(errs, err)
			continue
		}
		if parent := filepath.Dir(dir); filepath.Base(parent) == DefaultParent {
			_ = os.Remove(parent) // others may use it
		}
	}
	return errors.Join(errs...)
}

// DefaultParent is the cgroup below which sandboxes without a path of their own are.
const DefaultParent = "kata"

// cannotExist is about names that no directory can have. A record may hold one: it is
// written before the directories are made.
func cannotExist(err error) bool {
	return errors.Is(err, unix.ENAMETOOLONG) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTDIR)
}

func removeDir(dir string) error {
	pause := time.Millisecond
	for deadline := time.Now().Add(removeTime); ; pause = min(2*pause, 50*time.Millisecond) {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) || cannotExist(err) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return fmt.Errorf("remove cgroup: %w", err)
		}
		killAll(dir)
		time.Sleep(pause)
	}
}

func killAll(dir string) {
	if os.WriteFile(dir+"/cgroup.kill", []byte("1"), 0) == nil {
		return
	}
	b, err := os.ReadFile(dir + "/cgroup.procs")
	if err != nil {
		return
	}
	for f := range strings.FieldsSeq(string(b)) {
		if pid, err := strconv.Atoi(f); err == nil && pid > 1 {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}
