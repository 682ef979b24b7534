package qemu

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"

	"kata/vm"
)

// maxVCPUs is the guest's kernel's CONFIG_NR_CPUS.
const maxVCPUs = 64

// mostVCPUs is how many processors a machine can have: as many as the host.
func mostVCPUs() int { return min(runtime.NumCPU(), maxVCPUs) }

// cpuArgs is the number of processors. Each that can be added is a socket of its own:
// where the guest's kernel knows no hypervisor by name, it believes in no others.
func (t *target) cpuArgs(s vm.Spec) []string {
	if !t.hot {
		return []string{"-smp", fmt.Sprint(s.VCPUs)}
	}
	most := max(mostVCPUs(), s.VCPUs)
	return []string{"-smp", fmt.Sprintf("%d,maxcpus=%d,sockets=%d,cores=1,threads=1", s.VCPUs, most, most)}
}

// SetVCPUs implements vm.Machine.
func (m *machine) SetVCPUs(_ context.Context, n int) error {
	if !m.target.hot {
		return vm.ErrNoHotCPUs
	}
	m.sizeMu.Lock()
	defer m.sizeMu.Unlock()
	var sockets []struct {
		Type  string         `json:"type"`
		Props map[string]any `json:"props"`
		Path  string         `json:"qom-path"` // of the processor that is there
	}
	if err := m.monitor.run("query-hotpluggable-cpus", nil, &sockets); err != nil {
		return err
	}
	have := 0
	for _, s := range sockets {
		if s.Path != "" {
			have++
		}
	}
	for _, s := range slices.Backward(sockets) { // the first one is listed last
		if s.Path != "" || have >= n {
			continue
		}
		device := maps.Clone(s.Props)
		device["driver"], device["id"] = s.Type, fmt.Sprintf("cpu%d", have)
		if err := m.monitor.run("device_add", device, nil); err != nil {
			return fmt.Errorf("processor %d: %w", have+1, err)
		}
		have++
	}
	if have < n {
		return fmt.Errorf("%d processors: this machine can have at most %d", n, have)
	}
	return nil
}
