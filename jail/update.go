package jail

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// SetMemory changes the memory limit of a cgroup that exists, in bytes.
func (c *Cgroup) SetMemory(bytes int64) error {
	file := "memory.limit_in_bytes"
	if c.unified != nil {
		file = "memory.max"
	}
	for _, dir := range c.dirs {
		limit := filepath.Join(dir, file)
		if _, err := os.Stat(limit); err != nil {
			continue // of another hierarchy
		}
		if err := os.WriteFile(limit, []byte(strconv.FormatInt(bytes, 10)), 0); err != nil {
			return fmt.Errorf("host cgroup: %s = %d: %w", file, bytes, err)
		}
	}
	return nil
}

// SetCPU changes the CPU limits of a cgroup that exists. Zero means no limit, but
// shares stay as they are without a value. A hierarchy of v1 that is not mounted is
// an error only if there is a limit to set.
func (c *Cgroup) SetCPU(l Limits) error {
	period := l.CPUPeriod
	if period == 0 {
		period = DefaultCPUPeriod
	}
	for _, s := range c.cpuSettings(l, period) {
		if s.value == "" {
			continue
		}
		for _, dir := range c.dirs {
			file := filepath.Join(dir, s.file)
			if _, err := os.Stat(file); err != nil {
				continue // of another hierarchy
			}
			if err := os.WriteFile(file, []byte(s.value), 0); err != nil {
				return fmt.Errorf("host cgroup: %s = %s: %w", s.file, s.value, err)
			}
		}
	}
	return nil
}

func (c *Cgroup) cpuSettings(l Limits, period uint64) []setting {
	if c.unified != nil {
		quota := "max"
		if l.CPUQuota > 0 {
			quota = strconv.FormatInt(l.CPUQuota, 10)
		}
		return []setting{{"cpu", "cpu.max", fmt.Sprintf("%s %d", quota, period)}, {"cpu", "cpu.weight", Weight(l.CPUShares)}}
	}
	quota := int64(-1)
	if l.CPUQuota > 0 {
		quota = l.CPUQuota
	}
	return []setting{
		{"cpu", "cpu.cfs_period_us", strconv.FormatUint(period, 10)},
		{"cpu", "cpu.cfs_quota_us", strconv.FormatInt(quota, 10)},
		{"cpu", "cpu.shares", number(int64(l.CPUShares))},
	}
}
