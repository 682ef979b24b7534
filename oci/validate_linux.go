package oci

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// linuxRules follow config-linux.md.
var linuxRules = []rule[*specs.Linux]{
	{"linux.namespaces", checkNamespaces},
	{"linux.uidMappings", func(l *specs.Linux) (string, string) { return checkUserMappings(l, l.UIDMappings) }},
	{"linux.gidMappings", func(l *specs.Linux) (string, string) { return checkUserMappings(l, l.GIDMappings) }},
	{"linux.timeOffsets", checkTimeOffsets},
	{"linux.sysctl", checkSysctl},
	{"linux.devices", checkDevices},
	{"linux.rootfsPropagation", func(l *specs.Linux) (string, string) {
		unknown := !slices.Contains(propagations, l.RootfsPropagation)
		return "", when(unknown, "%q is not a mount propagation", l.RootfsPropagation)
	}},
	{"linux.personality.domain", func(l *specs.Linux) (string, string) {
		p := l.Personality
		unknown := p != nil && p.Domain != specs.PerLinux && p.Domain != specs.PerLinux32
		return "", when(unknown, "is neither %s nor %s", specs.PerLinux, specs.PerLinux32)
	}},
	{"linux.cgroupsPath", func(l *specs.Linux) (string, string) {
		odd := strings.ContainsAny(l.CgroupsPath, "\x00\n")
		return "", when(odd, "%q: a cgroup's name has no NUL byte and no newline", l.CgroupsPath)
	}},
	{"linux.seccomp", checkSeccomp},
	{"linux.resources", func(l *specs.Linux) (string, string) {
		if l.Resources == nil {
			return "", ""
		}
		return checkResources(l.Resources)
	}},
}

func checkNamespaces(l *specs.Linux) (string, string) {
	seen := make(map[specs.LinuxNamespaceType]bool, len(l.Namespaces))
	for i, n := range l.Namespaces {
		switch {
		case !slices.Contains(namespaces, n.Type):
			return index(i, ".type"), fmt.Sprintf("%q is not a namespace of Linux", n.Type)
		case seen[n.Type]:
			return index(i, ".type"), string(n.Type) + " is there twice"
		}
		seen[n.Type] = true
		if n.Path != "" {
			if reason := checkAbsolute(n.Path); reason != "" {
				return index(i, ".path"), reason
			}
		}
	}
	return "", ""
}

func checkUserMappings(l *specs.Linux, mappings []specs.LinuxIDMapping) (string, string) {
	i := slices.IndexFunc(l.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
	switch {
	case i < 0 && len(mappings) > 0:
		return "", "needs a namespace of type user in linux.namespaces"
	case i >= 0 && l.Namespaces[i].Path == "" && len(mappings) == 0:
		return "", "is empty, the new user namespace needs it"
	}
	return checkMappings(mappings)
}

// checkTimeOffsets: time_namespaces(7). How far a clock can go, the kernel knows.
func checkTimeOffsets(l *specs.Linux) (string, string) {
	if len(l.TimeOffsets) > 0 && !hasNamespace(l, specs.TimeNamespace) {
		return "", "needs a namespace of type time in linux.namespaces"
	}
	for name, o := range l.TimeOffsets {
		switch {
		case name != "monotonic" && name != "boottime":
			return "", fmt.Sprintf("%q is neither monotonic nor boottime", name)
		case o.Nanosecs >= 1e9:
			return "." + name + ".nanosecs", fmt.Sprintf("%d is a second or more", o.Nanosecs)
		}
	}
	return "", ""
}

// maxMappings is how many lines the kernel takes, user_namespaces(7).
const maxMappings = 340

// checkMappings checks number, sizes and overlaps, user_namespaces(7).
func checkMappings(mappings []specs.LinuxIDMapping) (string, string) {
	if len(mappings) > maxMappings {
		return "", fmt.Sprintf("has %d entries, the kernel takes %d", len(mappings), maxMappings)
	}
	for i, m := range mappings {
		switch {
		case m.Size == 0:
			return index(i, ".size"), "is 0"
		case beyond(m.ContainerID, m.Size):
			return index(i, ""), fmt.Sprintf("containerID %d with size %d goes beyond 2^32-1", m.ContainerID, m.Size)
		case beyond(m.HostID, m.Size):
			return index(i, ""), fmt.Sprintf("hostID %d with size %d goes beyond 2^32-1", m.HostID, m.Size)
		}
		for j, o := range mappings[:i] {
			if overlap(m.ContainerID, m.Size, o.ContainerID, o.Size) || overlap(m.HostID, m.Size, o.HostID, o.Size) {
				return index(i, ""), fmt.Sprintf("overlaps with [%d]", j)
			}
		}
	}
	return "", ""
}

// beyond is about 2^32-1 because that id, (uid_t)-1, means "none".
func beyond(id, size uint32) bool { return uint64(id)+uint64(size) > 1<<32-1 }

func overlap(a, sizeA, b, sizeB uint32) bool {
	return uint64(a) < uint64(b)+uint64(sizeB) && uint64(b) < uint64(a)+uint64(sizeA)
}

// checkSysctl looks at the names only as far as they become paths under
// /proc/sys. Which of them are namespaced is not asked: the kernel they are
// for is the machine's own.
func checkSysctl(l *specs.Linux) (string, string) {
	for name := range l.Sysctl {
		file := strings.ReplaceAll(name, ".", "/")
		switch {
		case name == "" || path.Clean("/"+file) != "/"+file || strings.ContainsRune(name, 0):
			return "", fmt.Sprintf("%q is not a kernel parameter's name", name)
		case file == "kernel/hostname":
			return "", name + " is not allowed, use hostname"
		}
	}
	return "", ""
}

func checkDevices(l *specs.Linux) (string, string) {
	for i, d := range l.Devices {
		if reason := checkAbsolute(d.Path); reason != "" {
			return index(i, ".path"), reason
		}
		switch {
		case !slices.Contains([]string{"c", "b", "u", "p"}, d.Type):
			return index(i, ".type"), fmt.Sprintf("%q is none of c, b, u, p", d.Type)
		case d.Major < 0 || d.Major > 1<<12-1:
			return index(i, ".major"), fmt.Sprintf("%d is not between 0 and 2^12-1", d.Major)
		case d.Minor < 0 || d.Minor > 1<<20-1:
			return index(i, ".minor"), fmt.Sprintf("%d is not between 0 and 2^20-1", d.Minor)
		}
	}
	return "", ""
}

// hugepageSize is the form of config-linux.md, "Huge page limits".
var hugepageSize = regexp.MustCompile(`^[1-9][0-9]*[KMG]B$`)

// ValidateResources checks limits by themselves: what the verb `update` reads. The
// error is a *ConfigError.
func ValidateResources(r *specs.LinuxResources) error {
	if sub, reason := checkResources(r); reason != "" {
		return &ConfigError{Field: "linux.resources" + sub, Reason: reason}
	}
	return nil
}

// DecodeResources decodes and validates what `update --resources` reads.
func DecodeResources(raw []byte) (*specs.LinuxResources, error) {
	r := new(specs.LinuxResources)
	if err := decode(raw, r); err != nil {
		return nil, err
	}
	return r, ValidateResources(r)
}

func checkResources(r *specs.LinuxResources) (string, string) {
	for i, d := range r.Devices {
		switch {
		case !slices.Contains([]string{"", "a", "c", "b"}, d.Type):
			return ".devices" + index(i, ".type"), fmt.Sprintf("%q is none of a, c, b", d.Type)
		case d.Access == "":
			return ".devices" + index(i, ".access"), "is missing"
		case d.Major != nil && *d.Major < -1:
			return ".devices" + index(i, ".major"), fmt.Sprintf("is %d; the least is -1, all", *d.Major)
		case d.Minor != nil && *d.Minor < -1:
			return ".devices" + index(i, ".minor"), fmt.Sprintf("is %d; the least is -1, all", *d.Minor)
		case strings.Trim(d.Access, "rwm") != "":
			return ".devices" + index(i, ".access"), fmt.Sprintf("%q has more than r, w and m", d.Access)
		}
	}
	if p := r.Pids; p != nil && p.Limit != nil && *p.Limit < -1 {
		return ".pids.limit", fmt.Sprintf("is %d; the least is -1, no limit", *p.Limit)
	}
	for i, h := range r.HugepageLimits {
		if !hugepageSize.MatchString(h.Pagesize) {
			return ".hugepageLimits" + index(i, ".pageSize"), fmt.Sprintf("%q is not a size like 2MB", h.Pagesize)
		}
	}
	if sub, reason := checkMemory(r.Memory); reason != "" {
		return ".memory" + sub, reason
	}
	if sub, reason := checkCPU(r.CPU); reason != "" {
		return ".cpu" + sub, reason
	}
	if b := r.BlockIO; b != nil && b.Weight != nil && *b.Weight != 0 && (*b.Weight < 10 || *b.Weight > 1000) {
		return ".blockIO.weight", fmt.Sprintf("%d is not between 10 and 1000", *b.Weight)
	}
	for name := range r.Unified {
		if name == "" || strings.ContainsAny(name, "/\x00") || !strings.Contains(name, ".") {
			return ".unified", fmt.Sprintf("%q is not the name of a cgroup file", name)
		}
	}
	return "", ""
}

func checkMemory(m *specs.LinuxMemory) (string, string) {
	if m == nil {
		return "", ""
	}
	for _, f := range []struct {
		name  string
		bytes *int64
	}{
		{".limit", m.Limit}, {".reservation", m.Reservation}, {".swap", m.Swap},
		//lint:ignore SA1019 deprecated limits are checked as well
		{".kernel", m.Kernel},
		{".kernelTCP", m.KernelTCP},
	} {
		if f.bytes != nil && *f.bytes < -1 {
			return f.name, fmt.Sprintf("is %d bytes; the least is -1, no limit", *f.bytes)
		}
	}
	if m.Swappiness != nil && *m.Swappiness > 100 {
		return ".swappiness", fmt.Sprintf("%d is not between 0 and 100", *m.Swappiness)
	}
	if m.Limit != nil && m.Swap != nil && *m.Swap > 0 && *m.Swap < *m.Limit {
		return ".swap", fmt.Sprintf("%d (memory and swap) is less than limit, %d", *m.Swap, *m.Limit)
	}
	return "", ""
}

func checkCPU(c *specs.LinuxCPU) (string, string) {
	if c == nil {
		return "", ""
	}
	// 0 says nothing. The bounds are the kernel's, cgroup-v2.rst, "cpu.max".
	switch {
	case c.Period != nil && *c.Period != 0 && (*c.Period < 1000 || *c.Period > 1_000_000):
		return ".period", fmt.Sprintf("%d microseconds are not between 1000 and 1000000", *c.Period)
	case c.Quota != nil && (*c.Quota < -1 || *c.Quota > 0 && *c.Quota < 1000):
		return ".quota", fmt.Sprintf("%d microseconds are less than 1000, and not -1, no limit", *c.Quota)
	case c.Burst != nil && c.Quota != nil && *c.Quota > 0 && *c.Burst > uint64(*c.Quota):
		return ".burst", fmt.Sprintf("%d is more than quota, %d", *c.Burst, *c.Quota)
	case c.Idle != nil && *c.Idle != 0 && *c.Idle != 1:
		return ".idle", fmt.Sprintf("%d is neither 0 nor 1", *c.Idle)
	}
	if reason := checkList(c.Cpus); reason != "" {
		return ".cpus", reason
	}
	return ".mems", checkList(c.Mems)
}

// checkList checks a list such as "0-3,7", cpuset(7) "List format". Empty is
// fine.
func checkList(list string) string {
	if list == "" {
		return ""
	}
	for item := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(item, "-")
		a, err := strconv.ParseUint(first, 10, 16)
		if err == nil && isRange {
			var b uint64
			if b, err = strconv.ParseUint(last, 10, 16); b < a {
				return fmt.Sprintf("%q has the range %q, which runs backwards", list, item)
			}
		}
		if err != nil {
			return fmt.Sprintf("%q is not a list like 0-3,7", list)
		}
	}
	return ""
}
