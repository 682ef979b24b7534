package main

import (
	"encoding/json"
	"fmt"
	"sort"
)

// state is what this benchmark reads of a runtime's "state". Only kata-runtime
// has the last object.
type state struct {
	Pid  int        `json:"pid"`
	Kata *kataState `json:"kata"`
}

// kataState is the object under "kata".
type kataState struct {
	Isolation  string             `json:"isolation"`
	Hypervisor string             `json:"hypervisor"`
	Sandbox    string             `json:"sandbox"`
	Timings    map[string]float64 `json:"timings"` // ms by phase
	Pids       map[string]int     `json:"pids"`    // by role
	AgentRSS   float64            `json:"agent_rss_kib"`
}

// parseState reads the output of "state".
func parseState(data []byte) (*state, error) {
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return &s, nil
}

// roots returns the processes that stand for the container.
func (s *state) roots() []int {
	var pids []int
	if s.Pid > 0 {
		pids = append(pids, s.Pid)
	}
	if s.Kata != nil {
		for _, pid := range s.Kata.Pids {
			if pid > 0 {
				pids = append(pids, pid)
			}
		}
	}
	sort.Ints(pids)
	return pids
}
