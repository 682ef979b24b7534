package compile

import (
	"errors"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/jail"
	"kata/oci"
)

func TestResources(t *testing.T) {
	c := compiled(t, func(s *specs.Spec) {
		s.Linux.Resources = &specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: ptr(int64(100<<20 + 1))}, Pids: &specs.LinuxPids{Limit: ptr(int64(12))},
			CPU: &specs.LinuxCPU{Quota: ptr(int64(150000)), Shares: ptr(uint64(512)), Cpus: "0"},
		}
		s.Linux.CgroupsPath = "machine.slice:engine:id"
		s.Linux.Sysctl = map[string]string{"net.core.somaxconn": "7"}
	})
	if c.MemoryMiB != 101 || c.CPUs != 1.5 || c.CgroupPath != "machine.slice/engine-id" || len(c.HostCPUs) != 1 || c.HostCPUs[0] != 0 {
		t.Errorf("%d MiB, %v CPUs of %v, cgroup %q", c.MemoryMiB, c.CPUs, c.HostCPUs, c.CgroupPath)
	}
	if want := (jail.Limits{CPUQuota: 150000, CPUPeriod: 100000, CPUShares: 512}); c.Limits != want {
		t.Errorf("%+v, want %+v", c.Limits, want)
	}
	if got := pairs(c.Request.Sysctls); len(got) != 1 || got[0] != "net.core.somaxconn=7" {
		t.Errorf("sysctls %q", got)
	}
}

func TestCgroupFiles(t *testing.T) {
	device := specs.LinuxThrottleDevice{Rate: 7}
	device.Major, device.Minor = 254, 16
	free := device
	free.Rate = 0
	for _, tc := range []struct {
		name string
		in   specs.LinuxResources
		want string
	}{
		{"nothing", specs.LinuxResources{}, ""},
		{"zeros", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(0)), Reservation: ptr(int64(0)), Swap: ptr(int64(0))},
			CPU:  &specs.LinuxCPU{Shares: ptr(uint64(0)), Quota: ptr(int64(0)), Period: ptr(uint64(0)), RealtimePeriod: ptr(uint64(0))},
			Pids: &specs.LinuxPids{Limit: ptr(int64(0))}, BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(0))}}, ""},
		{"memory", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(1 << 20)), Reservation: ptr(int64(4096)), Swap: ptr(int64(1 << 21)),
			Swappiness: ptr(uint64(60)), DisableOOMKiller: ptr(false)}}, "memory.max=1048576 memory.low=4096"},
		{"no limits", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(-1)), Swap: ptr(int64(-1))}, Pids: &specs.LinuxPids{Limit: ptr(int64(-1))},
			CPU: &specs.LinuxCPU{Quota: ptr(int64(-1))}}, "memory.max=max cpu.max=max 100000 pids.max=max"},
		{"cpu", specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(1024)), Quota: ptr(int64(5000)), Period: ptr(uint64(10000)), Burst: ptr(uint64(2000)),
			Idle: ptr(int64(1))}}, "cpu.weight=39 cpu.idle=1 cpu.max.burst=0 cpu.max=5000 10000 cpu.max.burst=2000"},
		{"period", specs.LinuxResources{CPU: &specs.LinuxCPU{Period: ptr(uint64(10000))}}, "cpu.max=max 10000"},
		{"hugepages", specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 1}}}, ""},
		{"block devices", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{device},
			ThrottleWriteIOPSDevice: []specs.LinuxThrottleDevice{free}}}, "io.max=254:16 rbps=7 io.max=254:16 wiops=max"},
		{"unified", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(3))}, Unified: map[string]string{"pids.max": "9", "memory.high": "max"}},
			"pids.max=3 memory.high=max pids.max=9"},
	} {
		r, err := CompileResources(&tc.in, nil)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if got := strings.Join(pairs(r.Files), " "); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestRefusedResources(t *testing.T) {
	memory := func(m specs.LinuxMemory) specs.LinuxResources { return specs.LinuxResources{Memory: &m} }
	cpu := func(c specs.LinuxCPU) specs.LinuxResources { return specs.LinuxResources{CPU: &c} }
	block := func(b specs.LinuxBlockIO) specs.LinuxResources { return specs.LinuxResources{BlockIO: &b} }
	for name, in := range map[string]specs.LinuxResources{
		"memory.disableOOMKiller":          memory(specs.LinuxMemory{DisableOOMKiller: ptr(true)}),
		"memory.swap":                      memory(specs.LinuxMemory{Swap: ptr(int64(1))}),
		"cpu.realtimeRuntime":              cpu(specs.LinuxCPU{RealtimeRuntime: ptr(int64(1))}),
		"cpu.realtimePeriod":               cpu(specs.LinuxCPU{RealtimePeriod: ptr(uint64(1))}),
		"cpu.cpus":                         cpu(specs.LinuxCPU{Cpus: "60000"}),
		"cpu.mems":                         cpu(specs.LinuxCPU{Mems: "77"}),
		"blockIO.weight":                   block(specs.LinuxBlockIO{Weight: ptr(uint16(100))}),
		"blockIO.leafWeight":               block(specs.LinuxBlockIO{LeafWeight: ptr(uint16(100))}),
		"blockIO.weightDevice":             block(specs.LinuxBlockIO{WeightDevice: make([]specs.LinuxWeightDevice, 1)}),
		"blockIO.throttleReadBpsDevice[0]": block(specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: -1}}}}),
		"network":                          {Network: &specs.LinuxNetwork{ClassID: ptr(uint32(1))}},
		"rdma":                             {Rdma: map[string]specs.LinuxRdma{"x": {}}},
		`unified["cgroup.procs"]`:          {Unified: map[string]string{"cgroup.procs": "1"}},
	} {
		_, err := CompileResources(&in, nil)
		if e, ok := errors.AsType[*oci.ConfigError](err); !ok || e.Field != "linux.resources."+name || e.Reason == "" {
			t.Errorf("%v, want an error of %s", err, name)
		}
	}
	online, err := os.ReadFile("/sys/devices/system/node/online")
	if err != nil {
		online = []byte("0")
	}
	all := cpu(specs.LinuxCPU{Mems: strings.TrimSpace(string(online))})
	if _, err := CompileResources(&all, nil); err != nil {
		t.Errorf("all memory nodes: %v", err)
	}
}
