package container

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// The threads that prepare a container do not enter its user namespace: a thread of
// a program with others cannot. They keep the guest's privileges, and what they make
// belongs to the container's root because their fsuid and fsgid do. File systems are
// then the guest's, whose ids are those of the host's files, and device nodes in
// them are devices. Only the container's own processes are in the namespace.

// identity says who the container's users are in the guest. nil is the same ids.
type identity struct{ uids, gids []api.IDMapping }

// newIdentity is nil for a container in the guest's own user namespace.
func newIdentity(req *api.CreateRequest, find Find) (*identity, error) {
	if req.Namespaces&unix.CLONE_NEWUSER != 0 {
		return &identity{req.UIDs, req.GIDs}, nil
	}
	other, err := partner(req, unix.CLONE_NEWUSER, find)
	if other == nil {
		return nil, err
	}
	if other.fence.ids == nil {
		return nil, &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("container %q has no user namespace that could be joined", other.id)}
	}
	return other.fence.ids, nil
}

func (i *identity) uid(id uint32) (uint32, error) {
	if i == nil {
		return id, nil
	}
	return lookup(i.uids, "uid", id)
}

func (i *identity) gid(id uint32) (uint32, error) {
	if i == nil {
		return id, nil
	}
	return lookup(i.gids, "gid", id)
}

func lookup(list []api.IDMapping, kind string, id uint32) (uint32, error) {
	for _, m := range list {
		if id >= m.Container && id-m.Container < m.Size {
			return m.Host + (id - m.Container), nil
		}
	}
	return 0, &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("%s %d is unmapped in the user namespace", kind, id)}
}

// pair maps an owner.
func (i *identity) pair(uid, gid uint32) (u, g uint32, err error) {
	if u, err = i.uid(uid); err == nil {
		g, err = i.gid(gid)
	}
	return u, g, err
}

// openStdio is openStdio for a process whose user is one of the container's.
func (c *Container) openStdio(p *api.Process, streams Streams) (*stdio, error) {
	who, ids := *p, c.fence.ids
	var err error
	who.UID, who.GID, err = ids.pair(p.UID, p.GID)
	for n := 0; n < len(p.Groups) && err == nil; n++ {
		_, err = ids.gid(p.Groups[n])
	}
	if err != nil {
		return nil, fmt.Errorf("process.user: %w", err)
	}
	return openStdio(&who, streams)
}

// options maps the ids in a file system's options: the kernel reads them as the
// thread's, which are the guest's.
func (i *identity) options(list []string) ([]string, error) {
	for n, o := range list {
		key, value, _ := strings.Cut(o, "=")
		id, err := strconv.ParseUint(value, 0, 32)
		if i == nil || err != nil || key != "uid" && key != "gid" {
			continue // what is no number is refused by the kernel
		}
		to := i.uid
		if key == "gid" {
			to = i.gid
		}
		mapped, err := to(uint32(id))
		if err != nil {
			return nil, fmt.Errorf("option %q: %w", o, err)
		}
		list[n] = fmt.Sprintf("%s=%d", key, mapped)
	}
	return list, nil
}

// assume has the calling thread make files as the container's root. It keeps all
// capabilities, which a change of the fsuid would take (credentials(7)).
func (i *identity) assume() error {
	if i == nil {
		return nil
	}
	uid, gid, err := i.pair(0, 0)
	if err != nil {
		return err
	}
	const noSetuidFixup = 1 << 2 // SECBIT_NO_SETUID_FIXUP
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, noSetuidFixup, 0, 0, 0); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	// They have no errors.
	_, _ = unix.SetfsgidRetGid(int(gid))
	_, _ = unix.SetfsuidRetUid(int(uid))
	return nil
}

// join adds the step that takes a process into the user namespace of another. It has
// all capabilities there, and its user is that of no id until it changes.
func (i *identity) join(s *script, pidfd int) {
	if i != nil {
		s.add("enter the user namespace", 0, unix.SYS_SETNS, uintptr(pidfd), unix.CLONE_NEWUSER)
	}
}

// limit sets the resource limits of a process that could not raise them itself from
// inside its user namespace.
func (i *identity) limit(p *process) error {
	if i == nil {
		return nil
	}
	for _, r := range p.spec.Rlimits {
		if err := unix.Prlimit(p.pid, int(r.Type), &unix.Rlimit{Cur: r.Soft, Max: r.Hard}, nil); err != nil {
			return fmt.Errorf("set a resource limit: %w", err)
		}
	}
	return nil
}

// delegate gives the container's root its cgroup if it may write there, as runc does:
// the files that the kernel names for that, and the directory.
func (i *identity) delegate(c *cgroup, req *api.CreateRequest) error {
	if i == nil || req.Namespaces&unix.CLONE_NEWCGROUP == 0 || !cgroupWritable(req.Mounts) {
		return nil
	}
	uid, gid, err := i.pair(0, 0)
	if err != nil {
		return err
	}
	files, err := os.ReadFile("/sys/kernel/cgroup/delegate")
	if err != nil {
		return fmt.Errorf("guest cgroup: %w", err)
	}
	for _, f := range append(strings.Fields(string(files)), ".") {
		if err := os.Chown(c.dir+"/"+f, int(uid), int(gid)); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("guest cgroup: %w", err)
		}
	}
	return nil
}

func cgroupWritable(mounts []api.Mount) bool {
	for i := range mounts {
		m := &mounts[i]
		if (m.Type == "cgroup" || m.Type == "cgroup2") && m.Flags&unix.MS_RDONLY == 0 && m.AttrSet&unix.MOUNT_ATTR_RDONLY == 0 {
			return true
		}
	}
	return false
}

// userNamespace makes a user namespace that no process is in.
func userNamespace(r *Reaper, uids, gids []api.IDMapping) (int, error) {
	p := &process{}
	exit, err := p.clone(r, unix.CLONE_NEWUSER, -1)
	if err != nil {
		return -1, err
	}
	defer func() {
		_ = p.signal(unix.SIGKILL)
		<-exit
		unix.Close(p.pidfd)
	}()
	if err := writeMappings(p.pid, uids, gids); err != nil {
		return -1, err
	}
	return unix.Open(fmt.Sprintf("/proc/%d/ns/user", p.pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// writeMappings gives the user namespace of a process its ids, user_namespaces(7).
func writeMappings(pid int, uids, gids []api.IDMapping) error {
	for file, list := range map[string][]api.IDMapping{"uid_map": uids, "gid_map": gids} {
		var text []byte
		for _, m := range list {
			text = fmt.Appendf(text, "%d %d %d\n", m.Container, m.Host, m.Size)
		}
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/%s", pid, file), text, 0); err != nil {
			return err
		}
	}
	return nil
}
