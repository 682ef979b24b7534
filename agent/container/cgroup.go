package container

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// CgroupRoot is where the guest mounts cgroup v2.
const CgroupRoot = "/sys/fs/cgroup"

type cgroup struct {
	dir string
	fd  int
	// filter is the program that decides about devices, 0 without one.
	filter int
}

// newCgroup makes the container's cgroup and writes its files.
func newCgroup(id string, files []api.KeyValue) (*cgroup, error) {
	c := &cgroup{dir: CgroupRoot + "/" + id}
	if err := os.Mkdir(c.dir, 0o755); err != nil {
		return nil, fmt.Errorf("guest cgroup: %w", err)
	}
	for _, kv := range files {
		if err := c.write(kv); err != nil {
			c.remove()
			return nil, err
		}
	}
	fd, err := unix.Open(c.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		c.remove()
		return nil, fmt.Errorf("guest cgroup: %w", err)
	}
	c.fd = fd
	return c, nil
}

// write sets one limit.
func (c *cgroup) write(kv api.KeyValue) error {
	if strings.ContainsAny(kv.Key, "/\x00") {
		return &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("cgroup file %q", kv.Key)}
	}
	f, err := os.OpenFile(c.dir+"/"+kv.Key, os.O_WRONLY, 0) // and not create: that is a permission error
	if err == nil {
		_, err = f.WriteString(kv.Value)
		f.Close()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = errors.New("the guest's kernel has no such limit")
	case errors.Is(err, unix.ENODEV):
		err = errors.New("the guest has no such device")
	}
	if err != nil {
		return &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("linux.resources: %s = %s: %v", kv.Key, kv.Value, err)}
	}
	return nil
}

func (c *cgroup) pids() []int {
	b, err := os.ReadFile(c.dir + "/cgroup.procs")
	if err != nil {
		return nil
	}
	var pids []int
	for _, f := range bytes.Fields(b) {
		if n, err := strconv.Atoi(string(f)); err == nil {
			pids = append(pids, n)
		}
	}
	return pids
}

func (c *cgroup) signal(sig unix.Signal) error {
	if sig == unix.SIGKILL {
		c.kill()
		return nil
	}
	for _, pid := range c.pids() {
		if err := unix.Kill(pid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

func (c *cgroup) kill() {
	// An error means that there is nothing to kill.
	_ = os.WriteFile(c.dir+"/cgroup.kill", []byte("1"), 0)
}

func (c *cgroup) oomKilled() bool {
	b, err := os.ReadFile(c.dir + "/memory.events")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strings.TrimSpace(n) != "0"
		}
	}
	return false
}

// remove kills and waits for what is in the cgroup, for as long as the kernel
// needs to take dead processes out of it.
func (c *cgroup) remove() {
	if c.fd > 0 {
		unix.Close(c.fd)
	}
	if c.filter > 0 {
		unix.Close(c.filter)
	}
	c.kill()
	for i := range 100 {
		if err := os.Remove(c.dir); err == nil || os.IsNotExist(err) {
			return
		}
		time.Sleep(time.Duration(i+1) * time.Millisecond)
	}
}
