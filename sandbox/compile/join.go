package compile

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"kata/agent/api"
	"kata/oci"
)

// Joins say which containers' namespaces a container shares, by the namespace's
// type. All those containers are in one sandbox.
type Joins map[specs.LinuxNamespaceType]string

// joinable are the types that containers can share besides the network.
var joinable = []specs.LinuxNamespaceType{specs.PIDNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.TimeNamespace, specs.UserNamespace}

// NewIn compiles the bundle of a container that comes into a running sandbox. What
// linux.namespaces has with a path is in joins. Errors as New's.
func NewIn(id string, b *oci.Bundle, joins Joins) (*Container, error) {
	c, err := compile(id, b, joins)
	if err == nil && joins[specs.NetworkNamespace] == "" {
		i := slices.IndexFunc(b.Spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.NetworkNamespace })
		return nil, field(fmt.Sprintf("linux.namespaces[%d]", i),
			"a container that shares namespaces shares the network of its sandbox, which has one; give the network namespace of the other container as its path")
	}
	return c, err
}

// split returns the namespaces that are not joined: those that the container gets of
// its own. The network is the machine's in any case.
func (j Joins) split(list []specs.LinuxNamespace) (own []specs.LinuxNamespace, err error) {
	for i, ns := range list {
		switch {
		case j[ns.Type] == "":
			own = append(own, ns)
		case ns.Type == specs.NetworkNamespace:
			own = append(own, specs.LinuxNamespace{Type: ns.Type})
		case !slices.Contains(joinable, ns.Type):
			return nil, field(fmt.Sprintf("linux.namespaces[%d].path", i), "containers cannot share a %s namespace", ns.Type)
		}
	}
	return own, nil
}

// add writes the joins into the request. The name of a shared UTS namespace is
// its first container's.
func (j Joins) add(r *api.CreateRequest) {
	for _, t := range joinable {
		if j[t] != "" {
			r.Joins = append(r.Joins, api.Join{Namespace: namespaceFlags[t], Container: j[t]})
		}
	}
	if j[specs.UTSNamespace] != "" || r.Namespaces&unix.CLONE_NEWUTS == 0 {
		r.Hostname, r.Domainname = "", ""
	}
}
