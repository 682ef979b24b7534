// Package compile turns an OCI configuration into what a machine and its agent
// need: the machine's size, the host paths that it shares, and the agent's
// messages with every name already a number. It decides what cannot be done in a
// virtual machine and says so by the field's name. It starts nothing and opens
// no file but those that a mount names.
package compile

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"kata/agent/api"
	"kata/jail"
	"kata/oci"
	"kata/vm"
)

// Container is a compiled container.
type Container struct {
	Request api.CreateRequest
	Shares  []vm.Share
	// MemoryMiB is the container's memory limit, 0 if it has none, and CPUs the
	// CPU time that it may use, in CPUs, likewise.
	MemoryMiB int
	CPUs      float64
	// HostCPUs are the CPUs of the host that may be used, none meaning all.
	HostCPUs []int
	// Limits are for the host cgroup of a sandbox with only this container.
	Limits jail.Limits
	// ResolvConf is the file of the host that is mounted at /etc/resolv.conf, if one is.
	ResolvConf string
	// CgroupPath is linux.cgroupsPath.
	CgroupPath string
	// Disks are the block devices that the machine must have; Plug then says which
	// they are.
	Disks []Disk

	resources *specs.LinuxResources
}

// New compiles the bundle of a sandbox' first container. Errors name the field
// (oci.ConfigError).
func New(id string, b *oci.Bundle) (*Container, error) { return compile(id, b, nil) }

func compile(id string, b *oci.Bundle, joins Joins) (*Container, error) {
	s := b.Spec
	if s.Linux == nil {
		s.Linux = &specs.Linux{}
	}
	own, err := joins.split(s.Linux.Namespaces)
	if err != nil {
		return nil, err
	}
	if err := refuse(s, own); err != nil {
		return nil, err
	}
	c := &Container{Request: api.CreateRequest{
		ID: id, Rootfs: id + "/rootfs", RootReadonly: s.Root.Readonly,
		Hostname: s.Hostname, Domainname: s.Domainname,
		MaskedPaths: s.Linux.MaskedPaths, ReadonlyPaths: s.Linux.ReadonlyPaths,
		RootfsShare: propagationOptions[s.Linux.RootfsPropagation],
	}}
	r := &c.Request
	r.Namespaces = newNamespaces(own, joins)
	joins.add(r)
	if err := c.userNamespace(s.Linux); err != nil {
		return nil, err
	}
	if err := c.timeNamespace(s.Linux); err != nil {
		return nil, err
	}
	for _, k := range slices.Sorted(maps.Keys(s.Linux.Sysctl)) {
		r.Sysctls = append(r.Sysctls, api.KeyValue{Key: k, Value: s.Linux.Sysctl[k]})
	}
	p, err := Process(s.Process)
	if err != nil {
		return nil, err
	}
	r.Process = *p
	c.Shares = append(c.Shares, vm.Share{Name: r.Rootfs, Source: b.Rootfs, ReadOnly: s.Root.Readonly})
	res, err := CompileResources(s.Linux.Resources, nil)
	if err != nil {
		return nil, err
	}
	if err := c.mounts(s, res.rules); err != nil {
		return nil, err
	}
	if err := c.hooks(b); err != nil {
		return nil, err
	}
	if err := c.seccomp(s.Linux.Seccomp, oci.Architecture(s)); err != nil {
		return nil, err
	}
	if err := c.personality(s.Linux.Personality); err != nil {
		return nil, err
	}
	c.devices(s.Linux.Devices, res.rules)
	if len(c.Disks) > 0 {
		c.resources = s.Linux.Resources
	}
	r.Cgroup, c.MemoryMiB, c.CPUs, c.HostCPUs, c.Limits = res.Files, res.MemoryMiB, res.CPUs, res.HostCPUs, res.Limits
	if !res.Unrestricted {
		r.DeviceFilter = res.DeviceFilter
	}
	c.CgroupPath = CgroupPath(s.Linux.CgroupsPath)
	return c, nil
}

// CgroupPath turns the form of systemd (slice:prefix:name) into a path.
func CgroupPath(p string) string {
	if parts := strings.Split(p, ":"); len(parts) == 3 && !strings.Contains(p, "/") {
		return path.Join(parts[0], parts[1]+"-"+parts[2])
	}
	return p
}

var namespaceFlags = map[specs.LinuxNamespaceType]uint64{
	specs.MountNamespace:   unix.CLONE_NEWNS,
	specs.PIDNamespace:     unix.CLONE_NEWPID,
	specs.UTSNamespace:     unix.CLONE_NEWUTS,
	specs.IPCNamespace:     unix.CLONE_NEWIPC,
	specs.CgroupNamespace:  unix.CLONE_NEWCGROUP,
	specs.NetworkNamespace: unix.CLONE_NEWNET,
	specs.UserNamespace:    unix.CLONE_NEWUSER,
	specs.TimeNamespace:    unix.CLONE_NEWTIME,
}

// newNamespaces are those that the agent makes. The network is the sandbox's; only a
// container that has, with a new one, a user namespace of its own gets it in a
// namespace that its root rules.
func newNamespaces(own []specs.LinuxNamespace, joins Joins) (flags uint64) {
	network := false
	for _, ns := range own {
		flags |= namespaceFlags[ns.Type]
		network = network || ns.Type == specs.NetworkNamespace && ns.Path == "" && len(joins) == 0
	}
	if !network || flags&unix.CLONE_NEWUSER == 0 {
		flags &^= unix.CLONE_NEWNET
	}
	return flags
}

func field(name, format string, args ...any) error {
	return &oci.ConfigError{Field: name, Reason: fmt.Sprintf(format, args...)}
}

// refuse names what a container in a machine of its own cannot have (yet).
func refuse(s *specs.Spec, own []specs.LinuxNamespace) error {
	if s.Process == nil {
		return field("process", "is missing")
	}
	has := map[specs.LinuxNamespaceType]bool{}
	for i, ns := range own {
		name := fmt.Sprintf("linux.namespaces[%d]", i)
		if ns.Path != "" && ns.Type != specs.NetworkNamespace {
			return field(name+".path", "a namespace of the host cannot be joined from a virtual machine")
		}
		has[ns.Type] = true
	}
	if !has[specs.MountNamespace] {
		return field("linux.namespaces", "a container needs a mount namespace of its own")
	}
	if !has[specs.NetworkNamespace] {
		return field("linux.namespaces", "without a network namespace the container would use the host's network, which a virtual machine cannot")
	}
	switch {
	case s.Linux.MountLabel != "":
		return field("linux.mountLabel", "the guest's kernel has no SELinux")
	case len(s.Linux.NetDevices) > 0:
		return field("linux.netDevices", "a device of the host cannot be moved into a virtual machine")
	case s.Linux.MemoryPolicy != nil:
		return field("linux.memoryPolicy", "a virtual machine has one memory node")
	case s.Linux.IntelRdt != nil:
		return field("linux.intelRdt", "not available in a virtual machine")
	}
	return nil
}

// defaultDevices are those that every container has (config-linux.md, "Default
// Devices").
var defaultDevices = []api.Device{
	{Path: "/dev/null", Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 3},
	{Path: "/dev/zero", Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 5},
	{Path: "/dev/full", Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 7},
	{Path: "/dev/random", Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 8},
	{Path: "/dev/urandom", Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 9},
	{Path: "/dev/tty", Mode: unix.S_IFCHR | 0o666, Major: 5, Minor: 0},
}
