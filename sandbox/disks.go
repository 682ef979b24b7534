package sandbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"kata/agent/api"
	"kata/vm"
)

const (
	// diskTime bounds what the agent does about disks, and how long a guest may take to
	// find one that it gets.
	diskTime = 10 * time.Second
	diskPoll = 10 * time.Millisecond
)

// disks are those of the machine.
type disks struct {
	mu      sync.Mutex
	first   []string // serials of those that it was made with
	present int
	next    int
}

// name gives disks the serials by which the guest finds them, if they have none.
func (d *disks) name(list []vm.Disk) {
	for i := range list {
		if list[i].Serial == "" {
			list[i].Serial = fmt.Sprintf("kata%d", d.next)
			d.next++
		}
	}
}

func (d *disks) begin(list []vm.Disk) {
	d.name(list)
	d.first, d.present = serials(list), len(list)
}

func serials(list []vm.Disk) (names []string) {
	for _, d := range list {
		names = append(names, d.Serial)
	}
	return names
}

// Disks are the machine's disks in the guest, in the order of the machine's Spec.
func (s *Sandbox) Disks(ctx context.Context) ([]api.Disk, error) {
	return s.findDisks(ctx, s.disks.first)
}

// findDisks waits until the guest has found disks.
func (s *Sandbox) findDisks(ctx context.Context, serials []string) ([]api.Disk, error) {
	if len(serials) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, diskTime)
	defer cancel()
	for {
		resp, err := s.agent.Disks(ctx)
		if err != nil {
			return nil, fmt.Errorf("disks: %w", err)
		}
		list, missing := pick(resp.Disks, serials)
		if missing == "" {
			return list, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("disks: the guest does not see disk %s", missing)
		case <-time.After(diskPoll):
		}
	}
}

func pick(all []api.Disk, serials []string) (list []api.Disk, missing string) {
	found := map[string]api.Disk{}
	for _, d := range all {
		found[d.Serial] = d
	}
	for _, serial := range serials {
		d, ok := found[serial]
		if !ok {
			return nil, serial
		}
		list = append(list, d)
	}
	return list, ""
}

// CountDisks is how many disks the machine has.
func (s *Sandbox) CountDisks() int {
	s.disks.mu.Lock()
	defer s.disks.mu.Unlock()
	return s.disks.present
}

// AddDisks attaches disks to the running machine, either all or none, and returns what
// they are in the guest. It names those that have no serial.
func (s *Sandbox) AddDisks(ctx context.Context, list []vm.Disk) ([]api.Disk, error) {
	s.disks.mu.Lock()
	defer s.disks.mu.Unlock()
	s.disks.name(list)
	for i, d := range list {
		if err := s.machine.AddDisk(ctx, d); err != nil {
			_, _ = s.findDisks(ctx, serials(list[:i])) // it lets go what it has found
			s.removeDisks(ctx, serials(list[:i]))
			return nil, fmt.Errorf("disks: %w", err)
		}
		s.disks.present++
	}
	found, err := s.findDisks(ctx, serials(list))
	if err != nil {
		s.removeDisks(ctx, serials(list))
	}
	return found, err
}

// RemoveDisks takes disks of AddDisks away, by their serials. One that the guest does
// not let go stays the machine's.
func (s *Sandbox) RemoveDisks(ctx context.Context, serials []string) {
	s.disks.mu.Lock()
	defer s.disks.mu.Unlock()
	s.removeDisks(ctx, serials)
}

func (s *Sandbox) removeDisks(ctx context.Context, serials []string) {
	for _, serial := range serials {
		if s.removeDisk(ctx, serial) == nil {
			s.disks.present--
		}
	}
}

func (s *Sandbox) removeDisk(ctx context.Context, serial string) error {
	ctx, cancel := context.WithTimeout(ctx, diskTime)
	defer cancel()
	if err := s.agent.RemoveDisk(ctx, &api.DiskRequest{Serial: serial}); err != nil {
		return err
	}
	return s.machine.RemoveDisk(ctx, serial)
}
