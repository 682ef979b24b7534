package api

import "context"

// Values of Device.Need.
const (
	NeedNothing  = 0 // a node is a node
	NeedRequired = 1 // the container is refused if the guest has no such device
	NeedIfThere  = 2 // the node is left out if the guest has no such device
)

// DisksResponse lists the disks that have a serial number.
type DisksResponse struct {
	Disks []Disk `pb:"1"`
}

// Disk is a block device of the guest.
type Disk struct {
	Serial string `pb:"1"`
	Major  uint32 `pb:"2"`
	Minor  uint32 `pb:"3"`
}

// DiskRequest names a disk.
type DiskRequest struct {
	Serial string `pb:"1"`
}

// RemoveDisk has the guest let a disk go that was added while it ran.
func (a Agent) RemoveDisk(ctx context.Context, r *DiskRequest) error {
	_, err := call[Empty](ctx, a, "RemoveDisk", r)
	return err
}
