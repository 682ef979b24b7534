package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"kata/oci"
	"kata/sandbox/compile"
	"kata/sandbox/proxy"
	"kata/sandbox/shim"
	"kata/sandbox/state"
)

// Engines name a namespace to share by a path such as /proc/PID/ns/ipc. The pid is a
// shim's, so a shim has namespaces that stand on the host for those in the
// guest: they are empty, and nothing but their identity is used.

// namespaces are those of a new shim.
type namespaces struct {
	flags uintptr  // new ones
	net   *os.File // the network namespace to be in; nil if it is new
}

// shimNamespaces are those that stand for the namespaces of a container whose
// network namespace is net.
func shimNamespaces(s *specs.Spec, net *os.File) *namespaces {
	n := &namespaces{flags: unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS, net: net}
	for _, ns := range s.Linux.Namespaces {
		switch ns.Type {
		case specs.TimeNamespace:
			n.flags |= unix.CLONE_NEWTIME
		case specs.UserNamespace:
			n.flags |= unix.CLONE_NEWUSER
		}
	}
	if net == nil {
		n.flags |= unix.CLONE_NEWNET
	}
	return n
}

// start starts a process in the namespaces; nil are those of the caller.
func (n *namespaces) start(exe string, args []string, attr *os.ProcAttr) (*os.Process, error) {
	if n == nil {
		return os.StartProcess(exe, args, attr)
	}
	attr.Sys.Cloneflags = n.flags
	if n.flags&unix.CLONE_NEWUSER != 0 {
		all := []syscall.SysProcIDMap{{Size: 1<<32 - 1}}
		attr.Sys.UidMappings, attr.Sys.GidMappings, attr.Sys.GidMappingsEnableSetgroups = all, all, true
	}
	return startIn(n.net, exe, args, attr)
}

// target is a sandbox to make a container in.
type target struct {
	dir   state.Dir // of a container that is in it
	owner state.Process
	joins compile.Joins
}

// namespaceFiles are the names below /proc/PID/ns.
var namespaceFiles = map[specs.LinuxNamespaceType]string{
	specs.PIDNamespace: "pid", specs.IPCNamespace: "ipc", specs.UTSNamespace: "uts", specs.NetworkNamespace: "net",
	specs.MountNamespace: "mnt", specs.UserNamespace: "user", specs.CgroupNamespace: "cgroup", specs.TimeNamespace: "time",
}

// findSandbox returns the running sandbox that a container asks to be in: by the
// namespaces that it shares, or by Kubernetes' annotations. nil is a new one.
func (a *app) findSandbox(s *specs.Spec) (*target, error) {
	t := &target{joins: compile.Joins{}}
	if s.Linux == nil {
		return nil, nil
	}
	for i, ns := range s.Linux.Namespaces {
		if ns.Path == "" {
			continue
		}
		r, err := a.findNamespace(ns)
		if r != nil {
			err = t.add(a, ns.Type, r)
		}
		if err != nil {
			return nil, &oci.ConfigError{Field: fmt.Sprintf("linux.namespaces[%d].path", i), Reason: err.Error()}
		}
	}
	if id := annotatedSandbox(s.Annotations); id != "" && t.joins[specs.NetworkNamespace] == "" {
		r, err := state.At(a.root, id).Load()
		if err == nil {
			err = t.add(a, specs.NetworkNamespace, r)
		}
		if err != nil {
			return nil, fmt.Errorf("sandbox %q of the annotations: %w", id, err)
		}
	}
	if len(t.joins) == 0 {
		return nil, nil
	}
	return t, nil
}

func (t *target) add(a *app, kind specs.LinuxNamespaceType, r *state.Record) error {
	if len(t.joins) > 0 && t.owner != r.Proxy {
		return fmt.Errorf("%s belongs to the sandbox of container %q, other namespaces to another: a container has one sandbox", kind, r.ID)
	}
	t.dir, t.owner = state.At(a.root, r.ID), r.Proxy
	t.joins[kind] = r.ID
	return nil
}

// annotatedSandbox is what containerd and CRI-O say of a pod's container.
func annotatedSandbox(a map[string]string) string {
	switch {
	case a["io.kubernetes.cri.container-type"] == "container":
		return a["io.kubernetes.cri.sandbox-id"]
	case a["io.kubernetes.cri-o.ContainerType"] == "container":
		return a["io.kubernetes.cri-o.SandboxID"]
	}
	return ""
}

// findNamespace returns the container that a namespace stands for. Without one, a
// network namespace is an engine's, for a new sandbox; others are refused.
func (a *app) findNamespace(ns specs.LinuxNamespace) (*state.Record, error) {
	var want, have unix.Stat_t
	if err := unix.Stat(ns.Path, &want); err != nil {
		return nil, fmt.Errorf("%s: %w", ns.Path, err)
	}
	file := namespaceFiles[ns.Type]
	same := func(path string) bool {
		return unix.Stat(path, &have) == nil && have.Dev == want.Dev && have.Ino == want.Ino
	}
	if !same("/proc/self/ns/" + file) {
		ids, err := state.List(a.root)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			r, err := state.At(a.root, id).Load()
			if err == nil && r.Shim.Alive() && same(fmt.Sprintf("/proc/%d/ns/%s", r.Shim.PID, file)) {
				return r, nil
			}
		}
		if ns.Type == specs.NetworkNamespace {
			return nil, nil
		}
	}
	return nil, fmt.Errorf("%s is a namespace of the host, and no running container's: it cannot be joined from a virtual machine", ns.Path)
}

// join makes the container in a running sandbox.
func (a *app) join(k *created, c *createFlags, t *target) error {
	conn, err := proxy.Dial(t.dir)
	if err != nil {
		return fmt.Errorf("join the sandbox: %w", err)
	}
	root, err := filepath.Abs(a.root)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	resp, err := conn.Call(&proxy.Request{Op: proxy.Join, Create: &proxy.CreateRequest{
		ID: k.record.ID, Bundle: c.bundle, Root: root, Joins: t.joins, Descriptors: shim.Accesses(k.more)}})
	if err != nil {
		conn.Close()
		return err
	}
	*k.record = resp.Created.Record
	k.ack = conn
	return nil
}
