package api

// InterfaceRequest is all that a network device is to be; what an earlier request
// for the device set and this one does not is taken back.
type InterfaceRequest struct {
	// Device is the hardware address that the device had when the guest started.
	Device []byte `pb:"1"`
	// Gone: the interface is, and the device is not used any more.
	Gone       bool               `pb:"2"`
	Name       string             `pb:"3"`
	MAC        []byte             `pb:"4"`
	MTU        uint32             `pb:"5"`
	Up         bool               `pb:"6"`
	Addresses  []InterfaceAddress `pb:"7"`
	Routes     []Route            `pb:"8"`
	Neighbours []Neighbour        `pb:"9"`
}

// InterfaceAddress is an address in network order, 4 or 16 bytes, and its network.
type InterfaceAddress struct {
	Address   []byte `pb:"1"`
	Prefix    uint32 `pb:"2"`
	Peer      []byte `pb:"3"` // of a point-to-point address
	Broadcast []byte `pb:"4"`
	Scope     uint32 `pb:"5"` // RT_SCOPE_* of rtnetlink(7)
}

// Route is a route through the device; numbers are those of rtnetlink(7).
type Route struct {
	Destination []byte `pb:"1"`
	Prefix      uint32 `pb:"2"`
	Gateway     []byte `pb:"3"`
	Source      []byte `pb:"4"`
	Metric      uint32 `pb:"5"`
	Scope       uint32 `pb:"6"`
	Type        uint32 `pb:"7"`
	Protocol    uint32 `pb:"8"`
	OnLink      bool   `pb:"9"` // the gateway is on the link, whatever the addresses say
	MTU         uint32 `pb:"10"`
}

// Neighbour is a permanent entry of the neighbour table.
type Neighbour struct {
	Address []byte `pb:"1"`
	MAC     []byte `pb:"2"`
}
