package oci

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// IsolationAnnotation is the key under which `features` lists the kinds of
// isolation this runtime knows, separated by commas, the strongest first.
// Which of them a container got is shown in its state.
const IsolationAnnotation = "io.katacontainers.isolation"

// Features returns what the verb `features` prints (OCI runtime spec,
// features.md). It names only what is certain: what is left out means
// "unknown" to a reader, not "no".
func Features() *features.Features {
	yes, no := new(true), new(false)
	return &features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: specs.Version,
		Hooks:         []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"},
		MountOptions:  slices.Clone(MountOptions),
		Linux: &features.Linux{
			Namespaces: []string{
				string(specs.CgroupNamespace), string(specs.IPCNamespace), string(specs.MountNamespace),
				string(specs.NetworkNamespace), string(specs.PIDNamespace), string(specs.TimeNamespace), string(specs.UserNamespace), string(specs.UTSNamespace),
			},
			Capabilities: slices.Clone(capabilities),
			// The cgroups of a container are the guest's; its kernel has version 2 only.
			Cgroup:   &features.Cgroup{V1: no, V2: yes, Systemd: no, SystemdUser: no, Rdma: no},
			Seccomp:  seccompFeatures(),
			Apparmor: &features.Apparmor{Enabled: no},
			Selinux:  &features.Selinux{Enabled: no},
			IntelRdt: &features.IntelRdt{Enabled: no},
			MountExtensions: &features.MountExtensions{
				IDMap: &features.IDMap{Enabled: yes},
			},
			NetDevices: &features.NetDevices{Enabled: no},
		},
		Annotations: map[string]string{IsolationAnnotation: "hardware,software"},
	}
}

// seccompFeatures is what package seccomp compiles: all but SCMP_ACT_NOTIFY. The
// architectures are the guest's, which are left out because they depend on it.
func seccompFeatures() *features.Seccomp {
	f := &features.Seccomp{Enabled: new(true)}
	for _, a := range seccompActions {
		if a != specs.ActNotify {
			f.Actions = append(f.Actions, string(a))
		}
	}
	for _, o := range seccompOperators {
		f.Operators = append(f.Operators, string(o))
	}
	for _, l := range seccompFlags {
		f.KnownFlags = append(f.KnownFlags, string(l))
		if l != specs.LinuxSeccompFlagWaitKillableRecv {
			f.SupportedFlags = append(f.SupportedFlags, string(l))
		}
	}
	return f
}
