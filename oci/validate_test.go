package oci

import (
	"errors"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestDefaultSpecIsValid(t *testing.T) {
	if err := validate(DefaultSpec()); err != nil {
		t.Fatal(err)
	}
}

// userns makes a valid user namespace, for cases that break it.
func userns(s *specs.Spec, m ...specs.LinuxIDMapping) {
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	s.Linux.UIDMappings = m
	s.Linux.GIDMappings = m
}

func bindAt(target string, options ...string) specs.Mount {
	return specs.Mount{Destination: target, Type: "bind", Source: "/x", Options: options}
}

// invalid lists one way to break DefaultSpec for each demand, and the error.
var invalid = []struct {
	want  string
	spoil func(*specs.Spec)
}{
	{"ociVersion: is missing", func(s *specs.Spec) { s.Version = "" }},
	{`ociVersion: "one" is not a version`, func(s *specs.Spec) { s.Version = "one" }},
	{`ociVersion: "1.2" is not a version`, func(s *specs.Spec) { s.Version = "1.2" }},
	{`ociVersion: "2.0.0" is not supported`, func(s *specs.Spec) { s.Version = "2.0.0" }},
	{"root: is missing", func(s *specs.Spec) { s.Root = nil }},
	{"root.path: is missing", func(s *specs.Spec) { s.Root.Path = "" }},
	{"root.path: \"a\\x00\" has a NUL byte", func(s *specs.Spec) { s.Root.Path = "a\x00" }},
	{"process: is missing", func(s *specs.Spec) { s.Process = nil }},
	{"process.args: is empty", func(s *specs.Spec) { s.Process.Args = nil }},
	{"process.args[0]: is empty", func(s *specs.Spec) { s.Process.Args = []string{""} }},
	{"process.args[1]: \"\\x00\" has a NUL", func(s *specs.Spec) { s.Process.Args = []string{"a", "\x00"} }},
	{"process.cwd: is empty", func(s *specs.Spec) { s.Process.Cwd = "" }},
	{`process.cwd: "tmp" is not an absolute path`, func(s *specs.Spec) { s.Process.Cwd = "tmp" }},
	{`process.env[0]: "A" is not NAME=VALUE`, func(s *specs.Spec) { s.Process.Env = []string{"A"} }},
	{`process.env[1]: "=b" is not NAME=VALUE`, func(s *specs.Spec) { s.Process.Env = []string{"A=", "=b"} }},
	{`process.rlimits[0].type: "NOFILE" is not`, func(s *specs.Spec) { s.Process.Rlimits[0].Type = "NOFILE" }},
	{"process.rlimits[1].type: RLIMIT_NOFILE is there twice", func(s *specs.Spec) {
		s.Process.Rlimits = append(s.Process.Rlimits, s.Process.Rlimits[0])
	}},
	{"process.rlimits[0].soft: 1025 is more than hard, 1024", func(s *specs.Spec) { s.Process.Rlimits[0].Soft = 1025 }},
	{"process.oomScoreAdj: is not between", func(s *specs.Spec) { s.Process.OOMScoreAdj = new(1001) }},
	{`process.scheduler.policy: "" is not`, func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{} }},
	{"process.scheduler.priority: 0 is not", func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedRR} }},
	{"process.scheduler.nice: 20 is not", func(s *specs.Spec) {
		s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Nice: 20}
	}},
	{"process.ioPriority.class: \"\" is not", func(s *specs.Spec) { s.Process.IOPriority = &specs.LinuxIOPriority{} }},
	{"process.ioPriority.priority: 8 is not", func(s *specs.Spec) {
		s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 8}
	}},
	{`process.execCPUAffinity.final: "x" is not`, func(s *specs.Spec) {
		s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0", Final: "x"}
	}},
	{"hostname: needs a namespace of type uts", func(s *specs.Spec) { s.Linux.Namespaces = nil }},
	{"hostname: needs a namespace of type uts", func(s *specs.Spec) { s.Linux = nil }},
	{"hostname: has 65 bytes", func(s *specs.Spec) { s.Hostname = strings.Repeat("h", 65) }},
	{"domainname: has 65 bytes", func(s *specs.Spec) { s.Domainname = strings.Repeat("d", 65) }},
	{"mounts[7].destination: is missing", func(s *specs.Spec) { s.Mounts = append(s.Mounts, specs.Mount{}) }},
	{"mounts[0].source: is missing", func(s *specs.Spec) { s.Mounts[0] = specs.Mount{Destination: "/a", Type: "bind"} }},
	{"mounts[0].uidMappings[0].size: is 0", func(s *specs.Spec) { s.Mounts[0].UIDMappings = make([]specs.LinuxIDMapping, 1) }},
	{"mounts[0]: uidMappings and gidMappings go together", func(s *specs.Spec) {
		s.Mounts[0].UIDMappings = []specs.LinuxIDMapping{{Size: 1}}
	}},
	{"mounts[0].destination: \"/proc\" cannot be mounted because it is not of type proc", func(s *specs.Spec) { s.Mounts[0] = bindAt("/proc/.") }},
	{"mounts[0].destination: \"/proc/sys\" cannot be mounted because it is inside /proc", func(s *specs.Spec) { s.Mounts[0] = bindAt("/a/../proc//sys") }},
	{"mounts[0].destination: \"/proc/sys/kernel\" cannot", func(s *specs.Spec) { s.Mounts[0] = bindAt("../proc/sys/kernel") }},
	{"mounts[0].destination: \"/sys\" cannot be mounted because it is not of type sysfs", func(s *specs.Spec) { s.Mounts[0] = bindAt("sys") }},
	{"mounts[0].destination: a mount here would cover the root", func(s *specs.Spec) { s.Mounts[0] = bindAt("/x/..") }},
	{"mounts[0].options: idmap without uidMappings needs", func(s *specs.Spec) { s.Mounts[0] = bindAt("/x", "idmap") }},
	{"mounts[0]: the ids of a mount that is there", func(s *specs.Spec) {
		s.Mounts[0] = bindAt("/x", "remount")
		s.Mounts[0].UIDMappings, s.Mounts[0].GIDMappings = []specs.LinuxIDMapping{{Size: 1}}, []specs.LinuxIDMapping{{Size: 1}}
	}},
	{"mounts[0].options: tmpcopyup is for", func(s *specs.Spec) { s.Mounts[0] = bindAt("/x", "tmpcopyup") }},
	{`hooks.createRuntime[0].path: "a" is not`, func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "a"}}} }},
	{"hooks.poststop[1].timeout: is 0 seconds", func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/a"}, {Path: "/b", Timeout: new(0)}}}
	}},
	{"annotations: has an empty key", func(s *specs.Spec) { s.Annotations = map[string]string{"": "v"} }},
	{`linux.maskedPaths[0]: "proc" is not`, func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"proc"} }},
	{"linux.readonlyPaths: needs a namespace of type mount", func(s *specs.Spec) {
		s.Linux.MaskedPaths, s.Linux.Namespaces = nil, []specs.LinuxNamespace{{Type: specs.UTSNamespace}}
	}},
	{`linux.namespaces[0].type: "net" is not`, func(s *specs.Spec) { s.Linux.Namespaces[0].Type = "net" }},
	{"linux.namespaces[6].type: pid is there twice", func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, s.Linux.Namespaces[0])
	}},
	{`linux.namespaces[1].path: "ns" is not`, func(s *specs.Spec) { s.Linux.Namespaces[1].Path = "ns" }},
	{"linux.uidMappings: needs a namespace of type user", func(s *specs.Spec) {
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{Size: 1}}
	}},
	{"linux.uidMappings: is empty", func(s *specs.Spec) { userns(s) }},
	{"linux.uidMappings[0].size: is 0", func(s *specs.Spec) { userns(s, specs.LinuxIDMapping{}) }},
	{"linux.uidMappings[0]: hostID 4294967295 with size 1 goes beyond", func(s *specs.Spec) {
		userns(s, specs.LinuxIDMapping{HostID: 1<<32 - 1, Size: 1})
	}},
	{"linux.uidMappings[1]: overlaps with [0]", func(s *specs.Spec) {
		userns(s, specs.LinuxIDMapping{Size: 10}, specs.LinuxIDMapping{ContainerID: 9, HostID: 100, Size: 1})
	}},
	{"linux.uidMappings: has 341 entries", func(s *specs.Spec) { userns(s, make([]specs.LinuxIDMapping, 341)...) }},
	{"linux.timeOffsets: needs a namespace of type time", func(s *specs.Spec) {
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {}}
	}},
	{`linux.timeOffsets: "realtime" is neither`, timens("realtime", 0)},
	{"linux.timeOffsets.boottime.nanosecs: 1000000000 is", timens("boottime", 1e9)},
	{`linux.sysctl: "net/../../x" is not`, func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net/../../x": "1"} }},
	{`linux.sysctl: "net..x" is not`, func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net..x": "1"} }},
	{"linux.sysctl: kernel.hostname is not allowed", func(s *specs.Spec) {
		s.Linux.Sysctl = map[string]string{"kernel.hostname": "h"}
	}},
	{"linux.devices[0].path: is empty", func(s *specs.Spec) { s.Linux.Devices = make([]specs.LinuxDevice, 1) }},
	{`linux.devices[0].type: "x" is none`, func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "x"}} }},
	{"linux.devices[0].minor: -1 is not", func(s *specs.Spec) {
		s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "c", Minor: -1}}
	}},
	{`linux.rootfsPropagation: "up" is not`, func(s *specs.Spec) { s.Linux.RootfsPropagation = "up" }},
	{"linux.personality.domain: is neither", func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{} }},
	{`linux.resources.devices[0].type: "x" is none`, func(s *specs.Spec) { s.Linux.Resources.Devices[0].Type = "x" }},
	{`linux.resources.devices[0].access: "rx" has`, func(s *specs.Spec) { s.Linux.Resources.Devices[0].Access = "rx" }},
	{"linux.resources.memory.limit: is -2 bytes", func(s *specs.Spec) {
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: new(int64(-2))}
	}},
	{"linux.resources.memory.swap: 1 (memory and swap) is less", func(s *specs.Spec) {
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: new(int64(2)), Swap: new(int64(1))}
	}},
	{`linux.resources.cpu.cpus: "3-1" has the range`, func(s *specs.Spec) { s.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: "3-1"} }},
	{`linux.resources.cpu.mems: "0," is not`, func(s *specs.Spec) { s.Linux.Resources.CPU = &specs.LinuxCPU{Mems: "0,"} }},
	{"linux.resources.cpu.period: 999 microseconds", func(s *specs.Spec) { s.Linux.Resources.CPU = &specs.LinuxCPU{Period: new(uint64(999))} }},
	{"linux.resources.cpu.quota: 999 microseconds", func(s *specs.Spec) { s.Linux.Resources.CPU = &specs.LinuxCPU{Quota: new(int64(999))} }},
	{"linux.resources.cpu.quota: -2 microseconds", func(s *specs.Spec) { s.Linux.Resources.CPU = &specs.LinuxCPU{Quota: new(int64(-2))} }},
	{"linux.resources.cpu.burst: 5000 is more", func(s *specs.Spec) {
		s.Linux.Resources.CPU = &specs.LinuxCPU{Quota: new(int64(4000)), Burst: new(uint64(5000))}
	}},
	{"linux.resources.cpu.idle: 2 is neither", func(s *specs.Spec) { s.Linux.Resources.CPU = &specs.LinuxCPU{Idle: new(int64(2))} }},
	{"linux.resources.pids.limit: is -2", func(s *specs.Spec) { s.Linux.Resources.Pids = &specs.LinuxPids{Limit: new(int64(-2))} }},
	{`linux.resources.hugepageLimits[0].pageSize: "2 MB" is not`, func(s *specs.Spec) {
		s.Linux.Resources.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "2 MB"}}
	}},
	{"linux.resources.memory.kernel: is -3 bytes", func(s *specs.Spec) {
		//lint:ignore SA1019 deprecated limits are checked as well
		s.Linux.Resources.Memory = &specs.LinuxMemory{Kernel: new(int64(-3))}
	}},
	{"linux.resources.memory.swappiness: 101 is not", func(s *specs.Spec) {
		s.Linux.Resources.Memory = &specs.LinuxMemory{Swappiness: new(uint64(101))}
	}},
	{"linux.resources.blockIO.weight: 9 is not", func(s *specs.Spec) {
		s.Linux.Resources.BlockIO = &specs.LinuxBlockIO{Weight: new(uint16(9))}
	}},
	{`linux.resources.unified: "../x.y" is not`, func(s *specs.Spec) {
		s.Linux.Resources.Unified = map[string]string{"../x.y": "1"}
	}},
}

func timens(clock string, nanoseconds uint32) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{clock: {Nanosecs: nanoseconds}}
	}
}

func TestInvalid(t *testing.T) {
	for _, tc := range invalid {
		t.Run(tc.want, func(t *testing.T) {
			s := DefaultSpec()
			tc.spoil(s)
			err := validate(s)
			ce, ok := errors.AsType[*ConfigError](err)
			if !ok || !strings.HasPrefix(err.Error(), tc.want) {
				t.Fatalf("got %v, want a *ConfigError %q", err, tc.want)
			}
			if field, _, _ := strings.Cut(tc.want, ":"); ce.Field != field {
				t.Errorf("field is %q, want %q", ce.Field, field)
			}
		})
	}
}

// TestValid has what must be accepted though a hasty rule would refuse it.
func TestValid(t *testing.T) {
	for name, change := range map[string]func(*specs.Spec){
		"release candidate":   func(s *specs.Spec) { s.Version = "1.0.0-rc5-dev" },
		"later minor version": func(s *specs.Spec) { s.Version = "1.99.0+build.1" },
		"empty env value":     func(s *specs.Spec) { s.Process.Env = []string{"A=", "B==x"} },
		"no linux section":    func(s *specs.Spec) { s.Linux, s.Hostname = nil, "" },
		"user namespace":      func(s *specs.Spec) { userns(s, specs.LinuxIDMapping{HostID: 1000, Size: 65536}) },
		"joined user namespace": func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace, Path: "/proc/1/ns/user"})
		},
		"unlimited swap": func(s *specs.Spec) {
			s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: new(int64(1 << 20)), Swap: new(int64(-1))}
		},
		"zeros, as Docker writes them": func(s *specs.Spec) {
			s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: new(int64(0)), Swap: new(int64(0)), Swappiness: new(uint64(0))}
			s.Linux.Resources.CPU = &specs.LinuxCPU{Shares: new(uint64(0)), Quota: new(int64(0)), Period: new(uint64(0))}
			s.Linux.Resources.Pids = &specs.LinuxPids{Limit: new(int64(0))}
			s.Linux.Resources.BlockIO = &specs.LinuxBlockIO{Weight: new(uint16(0))}
		},
		"mounts over what lxcfs emulates": func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, bindAt("/proc/cpuinfo"), bindAt("proc/sys/kernel/ns_last_pid"), bindAt("/sys/fs/x"), bindAt("/process"))
		},
		"remount": func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/", Options: []string{"remount", "ro"}}, specs.Mount{Destination: "/proc", Type: "bind", Options: []string{"remount", "bind", "ro"}})
		},
		"ids of the container's user namespace": func(s *specs.Spec) {
			userns(s, specs.LinuxIDMapping{HostID: 1000, Size: 65536})
			s.Mounts = append(s.Mounts, bindAt("/x", "idmap"))
		},
		"cpu list":       func(s *specs.Spec) { s.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: "0-3,7", Mems: "0"} },
		"dotted sysctls": func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.ipv4.conf.eth0/1.rp_filter": "1"} },
		"unknown capability": func(s *specs.Spec) {
			s.Process.Capabilities.Ambient = []string{"CAP_FLY"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := DefaultSpec()
			change(s)
			if err := validate(s); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDecodeProcess(t *testing.T) {
	if p, err := DecodeProcess([]byte(`{"args":["ls"],"cwd":"/","user":{"uid":7}}`)); err != nil || p.User.UID != 7 {
		t.Errorf("got %v, %v", p, err)
	}
	for doc, want := range map[string]string{
		`{"cwd":"/"}`: "process.args: is empty",
		`{"cwd":1}`:   "cwd: is a JSON number, want a string",
	} {
		if _, err := DecodeProcess([]byte(doc)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", doc, err, want)
		}
	}
}

func TestValidID(t *testing.T) {
	for _, id := range []string{"a", "A_z+0-9.x", "...", "-", ".hidden", strings.Repeat("x", MaxIDLen)} {
		if err := ValidID(id); err != nil {
			t.Errorf("ValidID(%q) = %v", id, err)
		}
	}
	for _, id := range []string{"", ".", "..", "a/b", "../x", "a b", "a\n", "a\x00", "ä", "a:b", "\xff", strings.Repeat("x", MaxIDLen+1)} {
		if err := ValidID(id); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("ValidID(%q) = %v, want one line", id, err)
		}
	}
}

func TestFeatures(t *testing.T) {
	f := Features()
	if f.OCIVersionMax != specs.Version || !*f.Linux.Cgroup.V2 || f.Annotations[IsolationAnnotation] == "" {
		t.Errorf("got %+v", f)
	}
	for _, n := range f.Linux.Namespaces {
		if reason := func() string {
			_, r := checkNamespaces(&specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.LinuxNamespaceType(n)}}})
			return r
		}(); reason != "" {
			t.Error(reason)
		}
	}
	for _, c := range f.Linux.Capabilities {
		if !KnownCapability(c) {
			t.Errorf("unknown %s", c)
		}
	}
}
