package container

import (
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// Find looks up a container of the guest.
type Find func(id string) (*Container, error)

// joinable are the namespaces that containers may share. All share the network:
// it is the guest's.
const joinable = unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWTIME

// joined are the kinds of namespace that a container takes from others.
func joined(req *api.CreateRequest) (kinds uint64) {
	for _, j := range req.Joins {
		kinds |= j.Namespace
	}
	return kinds
}

// cloneInit makes the container's first process, in new namespaces and in those
// that it joins.
func (c *Container) cloneInit(req *api.CreateRequest, find Find) (exit <-chan unix.WaitStatus, err error) {
	clone := func() (err error) {
		exit, err = c.init.clone(c.reaper, req.Namespaces&^unix.CLONE_NEWNET|c.fence.clock.flag(), c.cgroup.fd)
		return err
	}
	if len(req.Joins) == 0 {
		err = clone()
		return exit, err
	}
	err = inThread(func() error { // what it joins, the process inherits
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
	if j.Namespace&^joinable != 0 || j.Namespace == 0 {
		return &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("namespaces %#x cannot be joined", j.Namespace)}
	}
	if j.Namespace == unix.CLONE_NEWTIME {
		return nil // the fence has it
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

// mountShare gives a container that came later a file system of its own for its
// files on the host: in one, a directory that two containers share would have one
// name only, the later one, and go when that container goes.
func mountShare(req *api.CreateRequest) (unmount func(), err error) {
	if req.Share == nil {
		return func() {}, nil
	}
	m, dir := req.Share, path.Join(api.ShareDir, req.ID)
	if err := unix.Mount(m.Source, dir, m.Type, uintptr(m.Flags), m.Data); err != nil {
		return nil, fmt.Errorf("share of the container: %w", err)
	}
	return func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }, nil
}
