package compile

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Only a new user namespace with a new network namespace owns the network.
func TestWhoOwnsTheNetwork(t *testing.T) {
	user := specs.LinuxNamespace{Type: specs.UserNamespace}
	network := specs.LinuxNamespace{Type: specs.NetworkNamespace}
	engines := specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: "/run/netns/x"}
	for name, tc := range map[string]struct {
		own   []specs.LinuxNamespace
		joins Joins
		want  bool
	}{
		"both new":               {[]specs.LinuxNamespace{user, network}, nil, true},
		"no user namespace":      {[]specs.LinuxNamespace{network}, nil, false},
		"an engine's network":    {[]specs.LinuxNamespace{user, engines}, nil, false},
		"the network of another": {[]specs.LinuxNamespace{user, network}, Joins{specs.NetworkNamespace: "a"}, false},
	} {
		if got := newNamespaces(tc.own, tc.joins)&unix.CLONE_NEWNET != 0; got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What a container that joins a user namespace says of ids is not about it.
func TestMappingsOfAJoinedUserNamespace(t *testing.T) {
	b := bundle(func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace, Path: "/proc/1/ns/user"})
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{Size: 1}}
		s.Linux.GIDMappings = s.Linux.UIDMappings
	})
	joins := Joins{specs.UserNamespace: "a", specs.NetworkNamespace: "a"}
	c, err := NewIn("c", b, joins)
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Request; len(r.UIDs)+len(r.GIDs) != 0 || len(r.Joins) != 1 || r.Joins[0].Namespace != unix.CLONE_NEWUSER {
		t.Errorf("%+v", r)
	}
	b.Spec.Mounts = []specs.Mount{{Destination: "/x", Type: "bind", Source: "/etc", Options: []string{"idmap"}}}
	if _, err := NewIn("c", b, joins); err == nil {
		t.Error("an idmap without mappings is accepted")
	}
}
