package compile

import (
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/agent/api"
	"kata/agent/devicefilter"
	"kata/jail"
)

// Resources are limits of a container, enforced twice: for the container in the
// guest, and for the whole machine on the host.
type Resources struct {
	// Files are of the container's cgroup in the guest, in the order in which
	// they must be written.
	Files []api.KeyValue
	// MemoryMiB is the memory limit, 0 if there is none, and CPUs the CPU time,
	// in CPUs, likewise.
	MemoryMiB int
	CPUs      float64
	// HostCPUs are the CPUs of the host that may be used, none meaning all.
	HostCPUs []int
	// Limits of the host cgroup of a sandbox with only this container.
	Limits jail.Limits
	// DeviceFilter is the program that decides about devices; Unrestricted says that
	// it denies nothing.
	DeviceFilter []byte
	Unrestricted bool

	rules []devicefilter.Rule
	disks Disks
}

func (r *Resources) file(name string, value any) {
	r.Files = append(r.Files, api.KeyValue{Key: name, Value: fmt.Sprint(value)})
}

// limit is a value of cgroup v2: the specification's -1 is "max", and its 0 says
// nothing (engines write all fields).
func (r *Resources) limit(name string, v *int64) {
	switch {
	case v == nil || *v == 0:
	case *v < 0:
		r.file(name, "max")
	default:
		r.file(name, *v)
	}
}

// CompileResources compiles linux.resources. What the guest's kernel cannot limit
// is refused by the field's name, unless the limit holds anyway. What it says of disks
// becomes what the guest's kernel calls them.
func CompileResources(in *specs.LinuxResources, disks Disks) (*Resources, error) {
	r := &Resources{disks: disks}
	var devices []specs.LinuxDeviceCgroup
	if in != nil {
		devices = in.Devices
	}
	rules, err := deviceRules(devices)
	if err != nil {
		return nil, err
	}
	r.rules, r.Unrestricted = rules, unrestricted(rules)
	r.DeviceFilter = devicefilter.Program(disks.translate(rules))
	if in == nil {
		return r, nil
	}
	if err := r.memory(in.Memory); err != nil {
		return nil, err
	}
	if err := r.cpu(in.CPU); err != nil {
		return nil, err
	}
	if in.Pids != nil {
		r.limit("pids.max", in.Pids.Limit)
	}
	if err := r.blockIO(in.BlockIO); err != nil {
		return nil, err
	}
	// hugepageLimits: the guest's kernel has no huge pages to give, any limit holds.
	if n := in.Network; n != nil && (n.ClassID != nil && *n.ClassID != 0 || len(n.Priorities) > 0) {
		return nil, field("linux.resources.network", "cgroup v2, which the guest has, has no network controller")
	}
	if len(in.Rdma) > 0 {
		return nil, field("linux.resources.rdma", "a virtual machine has no RDMA devices")
	}
	for _, name := range slices.Sorted(maps.Keys(in.Unified)) {
		if strings.HasPrefix(name, "cgroup.") && !strings.HasPrefix(name, "cgroup.max.") {
			return nil, field(fmt.Sprintf("linux.resources.unified[%q]", name), "is not a limit")
		}
		r.file(name, in.Unified[name])
	}
	return r, nil
}

func (r *Resources) memory(m *specs.LinuxMemory) error {
	if m == nil {
		return nil
	}
	switch {
	case m.DisableOOMKiller != nil && *m.DisableOOMKiller:
		return field("linux.resources.memory.disableOOMKiller", "cgroup v2, which the guest has, cannot disable it")
	case m.Swap != nil && *m.Swap > 0 && (m.Limit == nil || *m.Limit <= 0):
		return field("linux.resources.memory.swap", "unable to set swap limit without memory limit")
	}
	// swap and swappiness: a guest has no swap, any limit holds. kernel and
	// kernelTCP count as memory in cgroup v2.
	r.limit("memory.max", m.Limit)
	r.limit("memory.low", m.Reservation)
	if m.Limit != nil && *m.Limit > 0 {
		r.MemoryMiB = int(math.Ceil(float64(*m.Limit) / (1 << 20)))
	}
	return nil
}

func (r *Resources) cpu(c *specs.LinuxCPU) error {
	if c == nil {
		return nil
	}
	switch {
	case c.RealtimeRuntime != nil && *c.RealtimeRuntime != 0:
		return field("linux.resources.cpu.realtimeRuntime", "cgroup v2, which the guest has, has no real-time limits")
	case c.RealtimePeriod != nil && *c.RealtimePeriod != 0:
		return field("linux.resources.cpu.realtimePeriod", "cgroup v2, which the guest has, has no real-time limits")
	}
	if err := everyNode(c.Mems); err != nil {
		return err
	}
	if c.Cpus != "" {
		cpus, err := hostCPUs(c.Cpus)
		if err != nil {
			return err
		}
		r.HostCPUs = cpus
	}
	if c.Shares != nil && *c.Shares != 0 {
		r.file("cpu.weight", jail.Weight(*c.Shares))
		r.Limits.CPUShares = *c.Shares
	}
	if c.Idle != nil {
		r.file("cpu.idle", *c.Idle)
	}
	// Before a quota that is less, and after one that is more: the burst must not
	// exceed the quota. Zero always may come first.
	if c.Burst != nil {
		r.file("cpu.max.burst", 0)
	}
	r.quota(c)
	if c.Burst != nil && *c.Burst > 0 {
		r.file("cpu.max.burst", *c.Burst)
	}
	return nil
}

func (r *Resources) quota(c *specs.LinuxCPU) {
	period := uint64(jail.DefaultCPUPeriod)
	if c.Period != nil && *c.Period > 0 {
		period = *c.Period
	}
	switch {
	case c.Quota != nil && *c.Quota > 0:
		r.file("cpu.max", fmt.Sprintf("%d %d", *c.Quota, period))
		r.CPUs = float64(*c.Quota) / float64(period)
		r.Limits.CPUQuota, r.Limits.CPUPeriod = *c.Quota, period
	case c.Quota != nil && *c.Quota < 0, c.Period != nil && *c.Period > 0:
		r.file("cpu.max", fmt.Sprintf("max %d", period))
	}
}

// hostCPUs are the CPUs of a list that the specification means: the host's.
func hostCPUs(list string) ([]int, error) {
	var cpus []int
	for item := range strings.SplitSeq(list, ",") { // package oci has checked it
		first, last, isRange := strings.Cut(item, "-")
		a, _ := strconv.Atoi(first)
		b := a
		if isRange {
			b, _ = strconv.Atoi(last)
		}
		for cpu := a; cpu <= b; cpu++ {
			if _, err := os.Stat(fmt.Sprintf("/sys/devices/system/cpu/cpu%d", cpu)); err != nil {
				return nil, field("linux.resources.cpu.cpus", "%q: the host has no CPU %d", list, cpu)
			}
			cpus = append(cpus, cpu)
		}
	}
	slices.Sort(cpus)
	return slices.Compact(cpus), nil
}

// everyNode refuses to choose among memory nodes: a machine's memory is where the
// host's kernel puts it.
func everyNode(mems string) error {
	if mems == "" {
		return nil
	}
	online, err := os.ReadFile("/sys/devices/system/node/online")
	if err != nil {
		online = []byte("0") // a kernel without NUMA has one
	}
	if have := strings.TrimSpace(string(online)); mems != have {
		return field("linux.resources.cpu.mems", "%q: a machine's memory is on any node of the host, which has %s", mems, have)
	}
	return nil
}

// throttle is one kind of limit, by its name in io.max.
type throttle struct {
	field, key string
	devices    []specs.LinuxThrottleDevice
}

// blockIO limits disks of the host's, and other devices of the guest by its numbers.
func (r *Resources) blockIO(b *specs.LinuxBlockIO) error {
	if b == nil {
		return nil
	}
	const noWeight = "the guest's kernel has no I/O scheduler with weights"
	switch {
	case b.Weight != nil && *b.Weight != 0:
		return field("linux.resources.blockIO.weight", noWeight)
	case b.LeafWeight != nil && *b.LeafWeight != 0:
		return field("linux.resources.blockIO.leafWeight", noWeight)
	case len(b.WeightDevice) > 0:
		return field("linux.resources.blockIO.weightDevice", noWeight)
	}
	for _, t := range []throttle{
		{"throttleReadBpsDevice", "rbps", b.ThrottleReadBpsDevice}, {"throttleWriteBpsDevice", "wbps", b.ThrottleWriteBpsDevice},
		{"throttleReadIOPSDevice", "riops", b.ThrottleReadIOPSDevice}, {"throttleWriteIOPSDevice", "wiops", b.ThrottleWriteIOPSDevice},
	} {
		for i, d := range t.devices {
			if d.Major < 0 || d.Minor < 0 {
				return field(fmt.Sprintf("linux.resources.blockIO.%s[%d]", t.field, i), "%d:%d is no device", d.Major, d.Minor)
			}
			rate := "max" // 0 takes a limit away
			if d.Rate > 0 {
				rate = strconv.FormatUint(d.Rate, 10)
			}
			major, minor := d.Major, d.Minor
			if guest, ok := r.disks[Number{uint32(major), uint32(minor)}]; ok {
				major, minor = int64(guest.Major), int64(guest.Minor)
			}
			r.file("io.max", fmt.Sprintf("%d:%d %s=%s", major, minor, t.key, rate))
		}
	}
	return nil
}
