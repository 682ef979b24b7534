package container

import (
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

// freezeTime is how long the kernel may take to stop every process of a cgroup: one
// that waits for a device stops when that has answered.
const freezeTime = 10 * time.Second

// Freeze stops all processes of the container, or lets them go on.
func (c *Container) Freeze(frozen bool) error {
	value, want := "0", "frozen 0"
	if frozen {
		value, want = "1", "frozen 1"
	}
	if err := os.WriteFile(c.cgroup.dir+"/cgroup.freeze", []byte(value), 0); err != nil {
		return err
	}
	pause := 100 * time.Microsecond
	for deadline := time.Now().Add(freezeTime); ; pause = min(2*pause, 20*time.Millisecond) {
		events, err := os.ReadFile(c.cgroup.dir + "/cgroup.events")
		if err != nil {
			return err
		}
		if strings.Contains(string(events), want) {
			return nil
		}
		if time.Now().After(deadline) {
			_ = os.WriteFile(c.cgroup.dir+"/cgroup.freeze", []byte("0"), 0) // as it was
			return unix.ETIMEDOUT
		}
		time.Sleep(pause)
	}
}

// statFiles are those of cgroup v2 that tell what a container uses.
var statFiles = []string{"cpu.stat", "memory.current", "memory.peak", "memory.max", "memory.stat", "memory.events",
	"pids.current", "pids.max", "io.stat"}

// Stats reads what the container uses, as the kernel writes it. A file that the
// kernel does not have is left out.
func (c *Container) Stats() (*api.StatsResponse, error) {
	out := &api.StatsResponse{}
	for _, name := range statFiles {
		b, err := os.ReadFile(c.cgroup.dir + "/" + name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out.Files = append(out.Files, api.KeyValue{Key: name, Value: string(b)})
	}
	return out, nil
}

// Update sets limits of the container. With CheckMemory, a memory limit below what is in
// use is refused; the kernel would kill for it.
func (c *Container) Update(req *api.UpdateRequest) error {
	for _, kv := range req.Cgroup {
		if kv.Key == "memory.max" && req.CheckMemory {
			if err := c.checkMemory(kv.Value); err != nil {
				return err
			}
		}
		if err := c.cgroup.write(kv); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cgroup.filterDevices(req.DeviceFilter)
}

func (c *Container) checkMemory(limit string) error {
	most, err := strconv.ParseUint(limit, 10, 64)
	if err != nil {
		return nil // "max"
	}
	b, err := os.ReadFile(c.cgroup.dir + "/memory.current")
	if err != nil {
		return err
	}
	used, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err == nil && used > most {
		return &api.Error{Code: api.CodePrecondition, Message: fmt.Sprintf("linux.resources.memory.limit: %d bytes are in use, more than %d", used, most)}
	}
	return err
}
