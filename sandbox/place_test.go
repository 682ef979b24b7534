package sandbox

import (
	"testing"

	"golang.org/x/sys/unix"

	"kata/agent/api"
	"kata/vm"
)

// TestPlace: a container that joins again finds no name that it had before.
func TestPlace(t *testing.T) {
	s := &Sandbox{places: firstPlaces([]vm.Share{{Name: "a/rootfs"}})}
	for i, want := range []string{"a~1", "a~2"} {
		req := &api.CreateRequest{ID: "a", Rootfs: "a/rootfs", Mounts: []api.Mount{
			{Source: "a/mounts/0", Flags: unix.MS_BIND}, {Source: "a/dev", Type: "tmpfs"}}}
		shares := []vm.Share{{Name: "a/rootfs"}, {Name: "a/mounts/0"}}
		rename(req, shares, s.place("a"))
		if req.Rootfs != want+"/rootfs" || req.Mounts[0].Source != want+"/mounts/0" || req.Mounts[1].Source != "a/dev" ||
			shares[0].Name != req.Rootfs || shares[1].Name != req.Mounts[0].Source {
			t.Errorf("%d: %+v, %+v", i, req, shares)
		}
	}
	for _, want := range []string{"b", "b~1"} {
		if got := s.place("b"); got != want {
			t.Errorf("another container is at %q, want %q", got, want)
		}
	}
}
