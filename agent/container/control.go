package container

import (
	"errors"
	"io/fs"
	"os"
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
