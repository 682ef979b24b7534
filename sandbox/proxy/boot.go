package proxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/config"
	"kata/jail"
	"kata/oci"
	"kata/sandbox"
	"kata/sandbox/compile"
	"kata/sandbox/state"
	"kata/vm"
)

// hostPids bounds the host processes of a machine; one that runs each guest
// process as a host process needs many.
const hostPids = 16384

// plan decides on the machine for a container.
func plan(dir state.Dir, req *CreateRequest, b *oci.Bundle) (*compile.Container, *sandbox.Options, *config.Config, error) {
	arch := oci.Architecture(b.Spec)
	cfg, driver, caps, err := choose(&req.Choice, arch)
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := compile.New(req.ID, b)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", oci.ConfigName, err)
	}
	m, err := machineFor(cfg, driver, caps, c.MemoryMiB, c.CPUs)
	if err != nil {
		return nil, nil, nil, err
	}
	m.Name, m.Dir, m.Arch, m.Shares = req.ID, dir.Machine(), arch, c.Shares
	m.CPUs = place(m.VCPUs, caps, c.HostCPUs)
	c.Limits.MemoryBytes = sandbox.MemoryLimit(m.MemoryMiB, caps)
	c.Limits.Pids = hostPids
	return c, &sandbox.Options{
		Driver: driver, Capabilities: caps, Machine: m,
		CgroupPath: CgroupPath(req.ID, c.CgroupPath), Limits: c.Limits,
		Hostname: b.Spec.Hostname, BootTimeout: bootTimeout(cfg, caps),
	}, cfg, nil
}

// CgroupPath is where a sandbox's host cgroup is.
func CgroupPath(id, asked string) string {
	if asked == "" {
		return "/" + jail.DefaultParent + "/" + id
	}
	return asked
}

// place picks the host CPU for a machine with one virtual CPU: such a machine hands
// over between two host processes at every system call of its guest, which takes
// ten times as long across CPUs. Sandboxes spread at random: a count of the others
// would be out of date when many start at once. More virtual CPUs, and machines that may
// get more, are left to the host's scheduler.
//
// allowed are the CPUs that the container may use, none meaning all.
func place(vcpus int, caps vm.Capabilities, allowed []int) []int {
	n := runtime.NumCPU()
	switch {
	case vcpus > 1 || caps.HotCPUs:
		return allowed
	case len(allowed) > 0:
		return []int{allowed[rand.IntN(len(allowed))]}
	case n < 2:
		return nil
	}
	return []int{rand.IntN(n)}
}

// errHanded says that another proxy has made the container, or told why not.
var errHanded = errors.New("handed to a proxy of the pool")

// boot makes the sandbox and its container, with a waiting machine if there is one.
func (e *entrance) boot(req *CreateRequest, w *waiting) (_ *owner, _ *CreatedInfo, err error) {
	bundle, err := oci.Load(req.Bundle)
	if err != nil {
		return nil, nil, err
	}
	c, opts, cfg, err := plan(state.At(e.root, e.id), req, bundle)
	if err != nil {
		return nil, nil, err
	}
	c.Request.Process.Descriptors = req.Descriptors
	if opts.Machine.Disks, err = openDisks(c, opts.Driver.Name(), opts.Capabilities, 0); err != nil {
		return nil, nil, err
	}
	defer closeDisks(opts.Machine.Disks)
	if e.network != nil {
		ns, err := e.namespace()
		if err != nil {
			return nil, nil, err
		}
		if opts.Network, err = takeover(ns, opts.Capabilities); err != nil {
			return nil, nil, err
		}
	}
	kind := orderOf(cfg, &req.Choice, c, opts)
	if w == nil && kind != nil && e.hand(req, kind) {
		if opts.Network != nil {
			opts.Network.Close()
		}
		return nil, nil, errHanded
	}
	if kind != nil {
		defer func() {
			if err == nil {
				kind.refill(e.root, cfg.PoolSize)
			}
		}()
	}
	if err := makeMountPoints(bundle); err != nil {
		return nil, nil, err
	}
	sb, err := w.boot(kind, opts)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), createTime)
	defer cancel()
	if err := sb.Fit(ctx, req.ID, demand(c.MemoryMiB, c.Limits)); err != nil {
		sb.Stop()
		return nil, nil, err
	}
	disks, err := plug(ctx, sb, c)
	if err != nil {
		sb.Stop()
		return nil, nil, err
	}
	stdio, err := sb.Create(ctx, &c.Request)
	if err != nil {
		sb.Stop()
		return nil, nil, err
	}
	o, info := created(bundle, sb, c, stdio)
	o.first, o.disks = true, disks
	info.Warnings = sb.Notes
	return o, info, nil
}

// created is what there is to know of a new container.
func created(b *oci.Bundle, sb *sandbox.Sandbox, c *compile.Container, stdio sandbox.Stdio) (*owner, *CreatedInfo) {
	o := newOwner(c.Request.ID, sb)
	o.resources = b.Spec.Linux.Resources
	o.add("", stdio)
	sb.ReadNames(o.id, c.ResolvConf)
	return o, &CreatedInfo{Record: record(o.id, b, sb), Terminal: b.Spec.Process.Terminal}
}

// createTime bounds the preparation of a container in a guest that works: a slow
// share takes a while, a guest that is stuck for ever.
const createTime = time.Minute

func record(id string, b *oci.Bundle, sb *sandbox.Sandbox) state.Record {
	return state.Record{
		ID: id, OCIVersion: specs.Version, Bundle: b.Dir, Rootfs: b.Rootfs,
		Created: time.Now().UTC(), Owner: os.Getuid(), Annotations: b.Spec.Annotations, Hooks: b.Spec.Hooks,
		Proxy:     state.Identify(os.Getpid()),
		Isolation: string(sb.Isolation), Hypervisor: sb.Driver,
	}
}

// CleanCgroupPath is compile.CgroupPath, for the commands.
func CleanCgroupPath(p string) string { return compile.CgroupPath(p) }
