package container

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// clock is what the monotonic and the boot time of a container are ahead of the
// guest's. nil is the guest's own clocks.
//
// Each process gets a time namespace of its own with the same offsets, which is the
// same clock: setns(2) into one is for processes that share their memory with nobody
// (time_namespaces(7)), and those of the executor share the agent's until they run
// their command. From then on they are in the namespace.
type clock struct{ offsets []api.TimeOffset }

// newClock is the clock of a container: its own, another's, or the guest's.
func newClock(req *api.CreateRequest, find Find) (*clock, error) {
	if req.Namespaces&unix.CLONE_NEWTIME != 0 {
		return &clock{req.TimeOffsets}, nil
	}
	other, err := partner(req, unix.CLONE_NEWTIME, find)
	if other == nil {
		return nil, err
	}
	return other.fence.clock, nil
}

// flag is for the clone of a process.
func (c *clock) flag() uint64 {
	if c == nil {
		return 0
	}
	return unix.CLONE_NEWTIME
}

// set sets the clock of a process that has not run its command yet.
func (c *clock) set(pid int) error {
	if c == nil {
		return nil
	}
	for _, o := range c.offsets {
		line := fmt.Appendf(nil, "%d %d %d\n", o.Clock, o.Seconds, o.Nanoseconds)
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/timens_offsets", pid), line, 0); err != nil {
			return &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("linux.timeOffsets: %d s: %v; a clock cannot be below zero, and a guest's start with its boot", o.Seconds, err)}
		}
	}
	return nil
}
