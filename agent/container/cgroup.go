package container

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
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

// sub opens a cgroup that the container has made below its own; "" is its own.
func (c *cgroup) sub(name string) (int, error) {
	if slices.Contains(strings.Split(name, "/"), "..") {
		return -1, &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("cgroup %q is not below the container's", name)}
	}
	fd, err := unix.Open(path.Join(c.dir, name), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("cgroup %q of the container: %v", name, err)}
	}
	return fd, nil
}

// below are the cgroup and all that the container has made below it, the outer ones first.
func (c *cgroup) below() []string {
	var dirs []string
	_ = filepath.WalkDir(c.dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() { // one may have gone since
			dirs = append(dirs, p)
		}
		return nil
	})
	return dirs
}

func (c *cgroup) pids() []int {
	var pids []int
	for _, dir := range c.below() {
		b, err := os.ReadFile(dir + "/cgroup.procs")
		if err != nil {
			continue
		}
		for _, f := range bytes.Fields(b) {
			if n, err := strconv.Atoi(string(f)); err == nil {
				pids = append(pids, n)
			}
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
		for _, dir := range slices.Backward(c.below()) {
			_ = os.Remove(dir)
		}
		if _, err := os.Stat(c.dir); os.IsNotExist(err) {
			return
		}
		time.Sleep(time.Duration(i+1) * time.Millisecond)
	}
}
