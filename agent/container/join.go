package container

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// Find looks up a container of the guest.
type Find func(id string) (*Container, error)

// joinable are the namespaces that containers may share. All share the network.
const joinable = unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWTIME | unix.CLONE_NEWUSER

// joined are the kinds of namespace that a container takes from others.
func joined(req *api.CreateRequest) (kinds uint64) {
	for _, j := range req.Joins {
		kinds |= j.Namespace
	}
	return kinds
}

// partner is the container whose namespace of a kind this one joins, or nil.
func partner(req *api.CreateRequest, kind uint64, find Find) (*Container, error) {
	for _, j := range req.Joins {
		if j.Namespace == kind {
			other, err := find(j.Container)
			if err != nil {
				return nil, fmt.Errorf("join the namespace of container %q: %w", j.Container, err)
			}
			return other, nil
		}
	}
	return nil, nil
}

// cloneInit makes the container's first process, in new namespaces and in those
// that it joins. network is the sandbox's network namespace, nil for the guest's.
func (c *Container) cloneInit(req *api.CreateRequest, find Find, network *os.File) (exit <-chan unix.WaitStatus, err error) {
	user, err := partner(req, unix.CLONE_NEWUSER, find)
	if err != nil {
		return nil, err
	}
	flags := req.Namespaces | c.fence.clock.flag()
	clone := func() (err error) {
		if user != nil {
			exit, err = c.init.cloneInside(c.reaper, user.init.pidfd, flags, c.cgroup.fd)
		} else {
			exit, err = c.init.clone(c.reaper, flags, c.cgroup.fd)
		}
		return err
	}
	if len(req.Joins) == 0 && network == nil {
		err = clone()
		return exit, err
	}
	err = inThread(func() error { // what it joins, the process inherits
		if network != nil {
			if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("join the sandbox's network namespace: %w", err)
			}
		}
		for _, j := range req.Joins {
			if err := enterNamespace(j, find); err != nil {
				return err
			}
		}
		return clone()
	})
	return exit, err
}

func enterNamespace(j api.Join, find Find) error {
	switch {
	case j.Namespace&^joinable != 0 || j.Namespace == 0:
		return &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("namespaces %#x cannot be joined", j.Namespace)}
	case j.Namespace == unix.CLONE_NEWTIME || j.Namespace == unix.CLONE_NEWUSER:
		return nil // not for a thread to enter
	}
	other, err := find(j.Container)
	if err == nil {
		err = unix.Setns(other.init.pidfd, int(j.Namespace))
	}
	if err != nil {
		return fmt.Errorf("join the namespace of container %q: %w", j.Container, err)
	}
	return nil
}

// cloneInside is clone from inside the user namespace of another process: it owns the
// new namespaces. A process in between goes there, clones, and ends.
func (p *process) cloneInside(r *Reaper, user int, flags uint64, cgroup int) (<-chan unix.WaitStatus, error) {
	p.script = newScript()
	return r.start(func() (int, error) {
		args := p.script.cloneArgs(flags|unix.CLONE_PARENT, cgroup)
		args.exitSignal = 0 // it has that of the one in between
		between := newScript()
		between.add("enter the user namespace", 0, unix.SYS_SETNS, uintptr(user), unix.CLONE_NEWUSER)
		between.add("clone", forks, unix.SYS_CLONE3, mem(between, args), unsafe.Sizeof(*args), uintptr(unsafe.Pointer(p.script.prog)))
		_, fd, err := between.clone(0, -1)
		if err != nil {
			return 0, err
		}
		defer unix.Close(fd)
		if err := between.release(); err != nil {
			return 0, err
		}
		p.pidfd = int(p.script.pidfd)
		p.pid, err = pidOf(p.pidfd)
		return p.pid, err
	})
}

// pidOf is the id of a pidfd's process in the guest's pid namespace.
func pidOf(pidfd int) (pid int, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", pidfd))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(line, "Pid:"); ok {
			return strconv.Atoi(strings.TrimSpace(n))
		}
	}
	return 0, errors.New("no process has this pidfd")
}

// mountShare gives a container that came later a file system of its own for its
// files on the host: in one, a directory that two containers share would have one
// name only, the later one, and go when that container goes.
func mountShare(req *api.CreateRequest) (unmount func(), err error) {
	if req.Share == nil {
		return func() { forgetFiles(req) }, nil
	}
	m, dir := req.Share, path.Join(api.ShareDir, req.ID)
	if err := unix.Mount(m.Source, dir, m.Type, uintptr(m.Flags), m.Data); err != nil {
		return nil, fmt.Errorf("share of the container: %w", err)
	}
	return func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }, nil
}

// forgetFiles unmounts what the guest has mounted by itself of a container's files: by
// virtiofs each share is a file system of its own, and what the guest remembers of it
// would stay open on the host.
func forgetFiles(req *api.CreateRequest) {
	names := []string{req.Rootfs}
	for _, m := range req.Mounts {
		if m.Shared {
			names = append(names, m.Source)
		}
	}
	for _, name := range names {
		// Where the share is one file system, nothing is mounted there.
		_ = unix.Unmount(path.Join(api.ShareDir, name), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
}
