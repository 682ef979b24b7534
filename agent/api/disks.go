package api

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
