package e2e

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func resources(r specs.LinuxResources) edit {
	return func(s *specs.Spec) {
		r.Devices = s.Linux.Resources.Devices
		s.Linux.Resources = &r
	}
}

func TestAllCgroupLimits(t *testing.T) {
	got := newHost(t).runScript("cd /sys/fs/cgroup; for f in memory.max memory.low memory.high cpu.weight cpu.max cpu.max.burst pids.max; do cat $f; done",
		resources(specs.LinuxResources{
			Memory:         &specs.LinuxMemory{Limit: new(int64(64 << 20)), Reservation: new(int64(32 << 20)), Swap: new(int64(128 << 20)), Swappiness: new(uint64(10))},
			CPU:            &specs.LinuxCPU{Shares: new(uint64(2048)), Quota: new(int64(50000)), Period: new(uint64(20000)), Burst: new(uint64(1000)), Cpus: "0"},
			Pids:           &specs.LinuxPids{Limit: new(int64(-1))},
			HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 0}},
			Unified:        map[string]string{"memory.high": "33554432"},
		}))
	equal(t, "limits", strings.Join(strings.Fields(got), " "), "67108864 33554432 33554432 79 50000 20000 1000 max")
}

func TestLimitsThatTheGuestDoesNotHave(t *testing.T) {
	h := newHost(t)
	none := specs.LinuxThrottleDevice{Rate: 1000}
	none.Major, none.Minor = 250, 7
	for want, r := range map[string]specs.LinuxResources{
		"linux.resources.blockIO.weight":           {BlockIO: &specs.LinuxBlockIO{Weight: new(uint16(500))}},
		"the guest has no such device":             {BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{none}}},
		"linux.resources.cpu.realtimeRuntime":      {CPU: &specs.LinuxCPU{RealtimeRuntime: new(int64(1000))}},
		"the guest's kernel has no such limit":     {Unified: map[string]string{"hugetlb.2MB.max": "0"}},
		"linux.resources: memory.high = lots":      {Unified: map[string]string{"memory.high": "lots"}},
		"linux.resources.memory.disableOOMKiller:": {Memory: &specs.LinuxMemory{DisableOOMKiller: new(true)}},
	} {
		h.refused(1, []string{want}, "create", bundle(t, resources(r)))
	}
}
