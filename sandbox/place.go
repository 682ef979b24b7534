package sandbox

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"kata/agent/api"
	"kata/vm"
)

// place is the directory of the share for a container's files, which no container
// that joined before it had. The guest remembers what it found below a name, and
// does not ask again; files of another container with the same id would be mistaken
// for those that were there.
func (s *Sandbox) place(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.places[id]
	s.places[id]++
	if n == 0 {
		return id
	}
	return fmt.Sprintf("%s~%d", id, n) // no id has such a letter
}

// firstPlaces are those that a machine starts with.
func firstPlaces(shares []vm.Share) map[string]int {
	places := map[string]int{}
	for _, sh := range shares {
		id, _, _ := strings.Cut(sh.Name, "/")
		places[id] = 1
	}
	return places
}

// rename moves a container's files from the directory that is called by its id.
func rename(req *api.CreateRequest, shares []vm.Share, place string) {
	move := func(name *string) {
		if rest, ok := strings.CutPrefix(*name, req.ID+"/"); ok {
			*name = place + "/" + rest
		}
	}
	for i := range shares {
		move(&shares[i].Name)
	}
	move(&req.Rootfs)
	for i := range req.Mounts {
		if req.Mounts[i].Flags&unix.MS_BIND != 0 {
			move(&req.Mounts[i].Source)
		}
	}
}
