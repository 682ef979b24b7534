package compile

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"kata/agent/api"
	"kata/jail"
	"kata/oci"
	"kata/vm"
)

func ptr[T any](v T) *T { return &v }

// bundle is the default configuration with a change.
func bundle(change func(*specs.Spec)) *oci.Bundle {
	b := &oci.Bundle{Dir: "/b", Rootfs: "/b/rootfs", Spec: oci.DefaultSpec()}
	if change != nil {
		change(b.Spec)
	}
	return b
}

func compiled(t *testing.T, change func(*specs.Spec)) *Container {
	t.Helper()
	c, err := New("c", bundle(change))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefault(t *testing.T) {
	c := compiled(t, nil)
	r := c.Request
	const all = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP
	if r.ID != "c" || r.Rootfs != "c/rootfs" || !r.RootReadonly || r.Namespaces != all || r.Hostname != "kata" {
		t.Errorf("%+v", r)
	}
	if want := []vm.Share{{Name: "c/rootfs", Source: "/b/rootfs", ReadOnly: true}}; !reflect.DeepEqual(c.Shares, want) {
		t.Errorf("shares %+v, want %+v", c.Shares, want)
	}
	if len(r.Mounts) != len(oci.DefaultSpec().Mounts) || len(r.MaskedPaths) == 0 || len(r.ReadonlyPaths) == 0 || len(r.Devices) != len(defaultDevices) {
		t.Errorf("%d mounts, %d masked, %d read-only paths, %d devices", len(r.Mounts), len(r.MaskedPaths), len(r.ReadonlyPaths), len(r.Devices))
	}
	if c.MemoryMiB != 0 || c.CPUs != 0 || c.Limits != (jail.Limits{}) || c.CgroupPath != "" {
		t.Errorf("limits %+v", c)
	}
}

func TestMounts(t *testing.T) {
	const share = "c/mounts/0"
	tests := []struct {
		name  string
		in    specs.Mount
		want  api.Mount
		share *vm.Share
	}{
		{"flags", specs.Mount{Type: "tmpfs", Source: "x", Options: []string{"nosuid", "nodev", "noexec", "ro", "relatime"}},
			api.Mount{Source: "x", Type: "tmpfs", Flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RDONLY | unix.MS_RELATIME}, nil},
		{"the last of opposites counts", specs.Mount{Type: "proc", Options: []string{"ro", "rw", "exec", "noexec"}},
			api.Mount{Type: "proc", Flags: unix.MS_NOEXEC, ClearFlags: unix.MS_RDONLY}, nil},
		{"data", specs.Mount{Type: "tmpfs", Options: []string{"size=1k", "nosuid", "mode=755"}},
			api.Mount{Type: "tmpfs", Flags: unix.MS_NOSUID, Data: "size=1k,mode=755"}, nil},
		{"options that mean nothing", specs.Mount{Type: "sysfs", Options: []string{"defaults", "acl"}}, api.Mount{Type: "sysfs"}, nil},
		{"propagation", specs.Mount{Type: "tmpfs", Options: []string{"rslave"}},
			api.Mount{Type: "tmpfs", Propagation: unix.MS_SLAVE | unix.MS_REC}, nil},
		{"rbind", specs.Mount{Source: "/etc", Options: []string{"rbind", "ro", "rprivate"}},
			api.Mount{Source: share, Shared: true, Flags: unix.MS_BIND | unix.MS_REC | unix.MS_RDONLY, Propagation: unix.MS_PRIVATE | unix.MS_REC},
			&vm.Share{Name: share, Source: "/etc", ReadOnly: true}},
		{"bind by type", specs.Mount{Type: "bind", Source: "/etc"},
			api.Mount{Type: "bind", Source: share, Shared: true, Flags: unix.MS_BIND | unix.MS_REC}, &vm.Share{Name: share, Source: "/etc"}},
		{"bind by option, not recursive", specs.Mount{Type: "bind", Source: "/etc", Options: []string{"bind", "unknown"}},
			api.Mount{Type: "bind", Source: share, Shared: true, Flags: unix.MS_BIND}, &vm.Share{Name: share, Source: "/etc"}},
		{"overlay", specs.Mount{Type: "overlay", Source: "overlay", Options: []string{"lowerdir=/a:/b", "nosuid", "upperdir=/u", "workdir=/w", "private"}},
			api.Mount{Type: "bind", Source: share, Shared: true, Flags: unix.MS_BIND | unix.MS_NOSUID, Propagation: unix.MS_PRIVATE},
			&vm.Share{Name: share, Source: "overlay", Overlay: "lowerdir=/a:/b,upperdir=/u,workdir=/w"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Destination, tt.want.Target = "/d", "/d"
			c := compiled(t, func(s *specs.Spec) { s.Mounts = []specs.Mount{tt.in} })
			if got := c.Request.Mounts[0]; got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
			switch {
			case tt.share == nil && len(c.Shares) != 1:
				t.Errorf("shares %+v", c.Shares)
			case tt.share != nil && (len(c.Shares) != 2 || c.Shares[1] != *tt.share):
				t.Errorf("shares %+v, want %+v", c.Shares, tt.share)
			}
		})
	}
}

func TestProcess(t *testing.T) {
	got, err := Process(&specs.Process{
		Args: []string{"a", "b"}, Env: []string{"K=v"}, Cwd: "/w", NoNewPrivileges: true, Terminal: true,
		User:        specs.User{UID: 1, GID: 2, AdditionalGids: []uint32{3}, Umask: ptr(uint32(0o27))},
		ConsoleSize: &specs.Box{Height: 24, Width: 80}, OOMScoreAdj: ptr(-5),
		Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN", "CAP_CHECKPOINT_RESTORE", "CAP_NO_SUCH"},
			Effective: []string{"CAP_KILL"}, Inheritable: []string{"CAP_SYS_ADMIN"}, Permitted: []string{"CAP_SETFCAP"}, Ambient: []string{"CAP_NET_RAW"}},
		Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 10, Hard: 20}, {Type: "RLIMIT_CORE"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &api.Process{
		Args: []string{"a", "b"}, Env: []string{"K=v"}, Cwd: "/w", NoNewPrivileges: true, Terminal: true,
		UID: 1, GID: 2, Groups: []uint32{3}, Umask: 0o27, UmaskSet: true, Rows: 24, Columns: 80, OOMScoreAdj: -5, OOMScoreAdjSet: true,
		Capabilities: api.Capabilities{Bounding: 1<<unix.CAP_CHOWN | 1<<unix.CAP_CHECKPOINT_RESTORE, Effective: 1 << unix.CAP_KILL,
			Inheritable: 1 << unix.CAP_SYS_ADMIN, Permitted: 1 << unix.CAP_SETFCAP, Ambient: 1 << unix.CAP_NET_RAW},
		Rlimits: []api.Rlimit{{Type: unix.RLIMIT_NOFILE, Soft: 10, Hard: 20}, {Type: unix.RLIMIT_CORE}},
		Stdin:   true, SeparateStderr: false,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if plain, err := Process(&specs.Process{}); err != nil || !plain.SeparateStderr || plain.UmaskSet || plain.OOMScoreAdjSet {
		t.Errorf("%+v, %v", plain, err)
	}
	if n := len(capabilityNames); n != unix.CAP_LAST_CAP+1 {
		t.Errorf("%d capabilities are known, the kernel's headers have %d", n, unix.CAP_LAST_CAP+1)
	}
}

func pairs(kvs []api.KeyValue) []string {
	var out []string
	for _, kv := range kvs {
		out = append(out, kv.Key+"="+kv.Value)
	}
	return out
}

func TestDevices(t *testing.T) {
	tests := []struct {
		in   specs.LinuxDevice
		want api.Device
	}{
		{specs.LinuxDevice{Path: "/dev/x", Type: "c", Major: 10, Minor: 229}, api.Device{Path: "/dev/x", Mode: unix.S_IFCHR | 0o666, Major: 10, Minor: 229}},
		{specs.LinuxDevice{Path: "/dev/u", Type: "u", Major: 1}, api.Device{Path: "/dev/u", Mode: unix.S_IFCHR | 0o666, Major: 1}},
		{specs.LinuxDevice{Path: "/dev/b", Type: "b", FileMode: ptr(os.FileMode(0o640)), UID: ptr(uint32(4)), GID: ptr(uint32(5))},
			api.Device{Path: "/dev/b", Mode: unix.S_IFBLK | 0o640, UID: 4, GID: 5}},
		{specs.LinuxDevice{Path: "/dev/p", Type: "p"}, api.Device{Path: "/dev/p", Mode: unix.S_IFIFO | 0o666}},
	}
	for _, tt := range tests {
		got := compiled(t, func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{tt.in} }).Request.Devices
		if len(got) != len(defaultDevices)+1 || got[len(got)-1] != tt.want {
			t.Errorf("got %+v, want %+v", got[len(got)-1], tt.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	ns := func(n ...specs.LinuxNamespace) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Linux.Namespaces = append(n, s.Linux.Namespaces...) }
	}
	without := func(drop specs.LinuxNamespaceType) func(*specs.Spec) {
		return func(s *specs.Spec) {
			var kept []specs.LinuxNamespace
			for _, n := range s.Linux.Namespaces {
				if n.Type != drop {
					kept = append(kept, n)
				}
			}
			s.Linux.Namespaces = kept
		}
	}
	tests := []struct {
		field  string
		change func(*specs.Spec)
	}{
		{"process", func(s *specs.Spec) { s.Process = nil }},
		{"linux.namespaces[0].path", ns(specs.LinuxNamespace{Type: specs.UserNamespace, Path: "/proc/1/ns/user"})},
		{"linux.uidMappings", ns(specs.LinuxNamespace{Type: specs.UserNamespace})},
		{"linux.namespaces[0].path", ns(specs.LinuxNamespace{Type: specs.TimeNamespace, Path: "/proc/1/ns/time"})},
		{"linux.namespaces[0].path", ns(specs.LinuxNamespace{Type: specs.PIDNamespace, Path: "/proc/1/ns/pid"})},
		{"linux.namespaces", without(specs.MountNamespace)},
		{"linux.namespaces", without(specs.NetworkNamespace)},
		{"linux.namespaces", func(s *specs.Spec) { s.Linux = nil }},
		{"linux.seccomp.defaultAction", func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActNotify} }},
		{"linux.seccomp.listenerPath", func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: "/run/x"}
		}},
		{"linux.seccomp.syscalls[0].action", func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActNotify}}}
		}},
		{"linux.mountLabel", func(s *specs.Spec) { s.Linux.MountLabel = "l" }},
		{"linux.personality.flags", func(s *specs.Spec) {
			s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux, Flags: []specs.LinuxPersonalityFlag{"x"}}
		}},
		{"linux.intelRdt", func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{} }},
		{"process.apparmorProfile", func(s *specs.Spec) { s.Process.ApparmorProfile = "p" }},
		{"process.selinuxLabel", func(s *specs.Spec) { s.Process.SelinuxLabel = "l" }},
		{"process.scheduler.flags[0]", func(s *specs.Spec) {
			s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Flags: []specs.LinuxSchedulerFlag{"x"}}
		}},
		{"process.rlimits[0].type", func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NONE"}} }},
		{"mounts[0].type", func(s *specs.Spec) { s.Mounts = []specs.Mount{{Destination: "/x", Type: "nfs", Source: "s:/"}} }},
	}
	for _, tt := range tests {
		_, err := New("c", bundle(tt.change))
		e, ok := errors.AsType[*oci.ConfigError](err)
		if !ok || e.Field != tt.field || e.Reason == "" {
			t.Errorf("%v, want a ConfigError of %s", err, tt.field)
		}
	}
}

// Of the hooks only startContainer is the agent's.
func TestHooks(t *testing.T) {
	timeout := 7
	c := compiled(t, func(s *specs.Spec) {
		s.Annotations = map[string]string{"k": "v"}
		s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/host"}}, StartContainer: []specs.Hook{
			{Path: "/a"}, {Path: "/b", Args: []string{"x", "y"}, Env: []string{"A=b"}, Timeout: &timeout}}}
	})
	want := []api.Hook{{Path: "/a", Args: []string{"/a"}, InheritEnv: true},
		{Path: "/b", Args: []string{"x", "y"}, Env: []string{"A=b"}, TimeoutSeconds: 7}}
	if !reflect.DeepEqual(c.Request.StartHooks, want) {
		t.Errorf("hooks %+v, want %+v", c.Request.StartHooks, want)
	}
	if st := string(c.Request.HookState); !strings.Contains(st, `"id":"c","status":"created","pid":1,"bundle":"/b","annotations":{"k":"v"}`) {
		t.Errorf("state %s", st)
	}
}

func TestJoins(t *testing.T) {
	b := bundle(func(s *specs.Spec) {
		for i := range s.Linux.Namespaces {
			if ns := &s.Linux.Namespaces[i]; ns.Type != specs.MountNamespace && ns.Type != specs.CgroupNamespace {
				ns.Path = "/proc/1/ns/" + string(ns.Type)
			}
		}
	})
	joins := Joins{specs.PIDNamespace: "a", specs.IPCNamespace: "b", specs.UTSNamespace: "a", specs.NetworkNamespace: "a"}
	c, err := NewIn("c", b, joins)
	if err != nil {
		t.Fatal(err)
	}
	want := []api.Join{{Namespace: unix.CLONE_NEWPID, Container: "a"}, {Namespace: unix.CLONE_NEWIPC, Container: "b"}, {Namespace: unix.CLONE_NEWUTS, Container: "a"}}
	if r := c.Request; !reflect.DeepEqual(r.Joins, want) || r.Hostname != "" || r.Namespaces != unix.CLONE_NEWNS|unix.CLONE_NEWCGROUP {
		t.Errorf("%+v", r)
	}
	delete(joins, specs.NetworkNamespace)
	for name, change := range map[string]func(*specs.Spec){
		"linux.namespaces[0]": nil, // a network of its own
		"linux.namespaces[1].path": func(s *specs.Spec) {
			s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.NetworkNamespace}, {Type: specs.MountNamespace, Path: "/x"}}
		},
	} {
		_, err := NewIn("c", bundle(func(s *specs.Spec) {
			s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.NetworkNamespace}, {Type: specs.MountNamespace}}
			if change != nil {
				change(s)
			}
		}), Joins{specs.MountNamespace: map[bool]string{true: "x"}[change != nil]})
		if e, ok := errors.AsType[*oci.ConfigError](err); !ok || e.Field != name {
			t.Errorf("%v, want a ConfigError of %s", err, name)
		}
	}
}
