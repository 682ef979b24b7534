package compile

import (
	"maps"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// clocks are those of linux.timeOffsets.
var clocks = map[string]uint32{"monotonic": unix.CLOCK_MONOTONIC, "boottime": unix.CLOCK_BOOTTIME}

// timeNamespace compiles the clocks of a container's time namespace.
func (c *Container) timeNamespace(l *specs.Linux) error {
	if c.Request.Namespaces&unix.CLONE_NEWTIME == 0 {
		if len(l.TimeOffsets) > 0 {
			return field("linux.timeOffsets", "belong to the container whose time namespace this one joins")
		}
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(l.TimeOffsets)) {
		o := l.TimeOffsets[name]
		c.Request.TimeOffsets = append(c.Request.TimeOffsets, api.TimeOffset{Clock: clocks[name], Seconds: o.Secs, Nanoseconds: o.Nanosecs})
	}
	return nil
}
