package compile

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"kata/agent/api"
	"kata/oci"
)

func TestMountOption(t *testing.T) {
	const atime = unix.MOUNT_ATTR__ATIME
	for _, tt := range []struct {
		options []string
		want    api.Mount
	}{
		{[]string{"rro", "rnosuid", "rnodev", "rnoexec", "rnosymfollow", "rnodiratime"}, api.Mount{AttrSet: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID |
			unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NOSYMFOLLOW | unix.MOUNT_ATTR_NODIRATIME}},
		{[]string{"rro", "rrw", "rsuid", "rnosuid"}, api.Mount{AttrSet: unix.MOUNT_ATTR_NOSUID, AttrClear: unix.MOUNT_ATTR_RDONLY}},
		{[]string{"rnoatime"}, api.Mount{AttrSet: unix.MOUNT_ATTR_NOATIME, AttrClear: atime}},
		{[]string{"rnoatime", "rstrictatime"}, api.Mount{AttrSet: unix.MOUNT_ATTR_STRICTATIME, AttrClear: atime}},
		{[]string{"rstrictatime", "rrelatime"}, api.Mount{AttrClear: atime}},
		{[]string{"rnoatime", "ratime"}, api.Mount{AttrClear: atime}},
		{[]string{"rnorelatime"}, api.Mount{}},
		{[]string{"ro", "rw", "suid"}, api.Mount{ClearFlags: unix.MS_RDONLY | unix.MS_NOSUID}},
		{[]string{"rw", "ro"}, api.Mount{Flags: unix.MS_RDONLY}},
		{[]string{"rprivate", "shared"}, api.Mount{Propagation: unix.MS_SHARED}},
		{[]string{"rslave", "rshared"}, api.Mount{Propagation: unix.MS_SLAVE | unix.MS_SHARED | unix.MS_REC}},
		{[]string{"rshared", "rslave"}, api.Mount{Propagation: unix.MS_SLAVE | unix.MS_REC}},
		{[]string{"tmpcopyup"}, api.Mount{CopyUp: true}},
		{[]string{"ridmap"}, api.Mount{IDMap: &api.IDMap{Recursive: true}}},
	} {
		var m api.Mount
		for _, o := range tt.options {
			if !mountOption(&m, o) {
				t.Errorf("%s is not known", o)
			}
		}
		if !reflect.DeepEqual(m, tt.want) {
			t.Errorf("%q: got  %+v\nwant %+v", tt.options, m, tt.want)
		}
	}
	if mountOption(&api.Mount{}, "size=1k") {
		t.Error("an option of a file system is said to be known")
	}
}

// What `features` names is what is compiled.
func TestMountOptionsAreTruthful(t *testing.T) {
	known := slices.Concat(slices.Collect(maps.Keys(mountOptions)), slices.Collect(maps.Keys(recursiveOptions)),
		slices.Collect(maps.Keys(propagationOptions)), []string{"tmpcopyup", "idmap", "ridmap"})
	slices.Sort(known)
	if got := oci.Features().MountOptions; !slices.Equal(got, known) {
		t.Errorf("features says %q, compiled are %q", got, known)
	}
}

func TestIDMap(t *testing.T) {
	own := []specs.LinuxIDMapping{{HostID: 1000, Size: 10}}
	for _, tt := range []struct {
		name  string
		mount specs.Mount
		want  *api.IDMap
	}{
		{"none", specs.Mount{}, nil},
		{"mappings", specs.Mount{UIDMappings: own, GIDMappings: own[:1]}, &api.IDMap{UIDs: []api.IDMapping{{Host: 1000, Size: 10}}, GIDs: []api.IDMapping{{Host: 1000, Size: 10}}}},
		{"recursive", specs.Mount{UIDMappings: own, GIDMappings: own, Options: []string{"ridmap"}},
			&api.IDMap{Recursive: true, UIDs: []api.IDMapping{{Host: 1000, Size: 10}}, GIDs: []api.IDMapping{{Host: 1000, Size: 10}}}},
		{"of the container", specs.Mount{Options: []string{"idmap"}}, &api.IDMap{UIDs: []api.IDMapping{{Host: 5, Size: 1}}, GIDs: []api.IDMapping{{Host: 6, Size: 1}}}},
	} {
		var out api.Mount
		for _, o := range tt.mount.Options {
			mountOption(&out, o)
		}
		idMap(&out, &tt.mount, &specs.Linux{UIDMappings: []specs.LinuxIDMapping{{HostID: 5, Size: 1}}, GIDMappings: []specs.LinuxIDMapping{{HostID: 6, Size: 1}}})
		if !reflect.DeepEqual(out.IDMap, tt.want) {
			t.Errorf("%s: got %+v, want %+v", tt.name, out.IDMap, tt.want)
		}
	}
}

func TestRemountSharesNothing(t *testing.T) {
	c := compiled(t, func(s *specs.Spec) {
		s.Mounts = []specs.Mount{{Destination: "/", Type: "bind", Options: []string{"remount", "bind", "ro"}}}
		s.Linux.RootfsPropagation = "rslave"
	})
	if len(c.Shares) != 1 || c.Request.Mounts[0].Flags != unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY {
		t.Errorf("%+v, shares %+v", c.Request.Mounts[0], c.Shares)
	}
	if c.Request.RootfsShare != unix.MS_SLAVE|unix.MS_REC {
		t.Errorf("propagation of the root %#x", c.Request.RootfsShare)
	}
}
