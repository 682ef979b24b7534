package compile

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// userNamespace compiles the ids of a container's user namespace. As with runc, its
// root must be somebody: what is made for the container belongs to it.
func (c *Container) userNamespace(l *specs.Linux) error {
	if c.Request.Namespaces&unix.CLONE_NEWUSER == 0 {
		// Engines give a container that joins one a mapping that says nothing, because
		// runc wants one.
		l.UIDMappings, l.GIDMappings = nil, nil
		return nil
	}
	root := func(m specs.LinuxIDMapping) bool { return m.ContainerID == 0 }
	const why = "maps no id to the container's root, 0"
	switch {
	case !slices.ContainsFunc(l.UIDMappings, root):
		return field("linux.uidMappings", why)
	case !slices.ContainsFunc(l.GIDMappings, root):
		return field("linux.gidMappings", why)
	}
	c.Request.UIDs, c.Request.GIDs = idMappings(l.UIDMappings), idMappings(l.GIDMappings)
	return nil
}
