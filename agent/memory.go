package agent

import (
	"fmt"
	"os"
	"strings"

	"kata/agent/api"
)

// memory says how much memory the guest has, and how much of it could be used for
// something else (proc_meminfo(5)).
func (a *agent) memory(*api.Empty) (*api.MemoryResponse, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil, err
	}
	out := &api.MemoryResponse{}
	for line := range strings.Lines(string(text)) {
		for name, field := range map[string]*uint64{"MemTotal:": &out.TotalKiB, "MemAvailable:": &out.AvailableKiB} {
			if rest, ok := strings.CutPrefix(line, name); ok {
				if _, err := fmt.Sscan(rest, field); err != nil {
					return nil, fmt.Errorf("%q of meminfo: %w", line, err)
				}
			}
		}
	}
	return out, nil
}
