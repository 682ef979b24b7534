package network

import (
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Interface is one interface of a namespace as a machine is to have it.
type Interface struct {
	Index      int
	Name       string
	MAC        net.HardwareAddr
	MTU        int
	Up         bool
	Addresses  []Address
	Routes     []Route
	Neighbours []Neighbour
}

// Address of an interface.
type Address struct {
	Prefix    netip.Prefix
	Peer      netip.Prefix // of a point-to-point address; else zero
	Broadcast netip.Addr   // or zero
	Scope     int          // RT_SCOPE_*
}

// Route through an interface, in the main table.
type Route struct {
	Destination     netip.Prefix
	Gateway, Source netip.Addr // or zero
	Metric          int
	Scope, Type     int
	Protocol        int
	OnLink          bool // the gateway is on the link, whatever the addresses say
	MTU             int
}

// Neighbour is a permanent entry of the neighbour table.
type Neighbour struct {
	Address netip.Addr
	MAC     net.HardwareAddr
}

// Interfaces lists those that a machine can take over, in the order of their
// indices: those of Ethernet that no bridge or bond of the namespace owns, without the
// ends of machines. The loopback interface is the guest's own.
func (n *Namespace) Interfaces() ([]Interface, error) {
	links, err := n.handle.LinkList()
	if err != nil {
		return nil, err
	}
	var list []Interface
	for _, l := range links {
		a := l.Attrs()
		if a.EncapType != "ether" || len(a.HardwareAddr) != 6 || a.MasterIndex != 0 || ownTap(l) {
			continue
		}
		list = append(list, Interface{Index: a.Index, Name: a.Name, MAC: a.HardwareAddr, MTU: a.MTU, Up: a.Flags&net.FlagUp != 0})
	}
	slices.SortFunc(list, func(a, b Interface) int { return a.Index - b.Index })
	for i := range list {
		if err := n.details(&list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (n *Namespace) details(i *Interface) error {
	link := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: i.Index}}
	addrs, err := n.handle.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		i.Addresses = append(i.Addresses, Address{Prefix: prefix(a.IPNet), Peer: prefix(a.Peer), Broadcast: addr(a.Broadcast), Scope: a.Scope})
	}
	routes, err := n.handle.RouteListFiltered(netlink.FAMILY_ALL,
		&netlink.Route{LinkIndex: i.Index, Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
	if err != nil {
		return err
	}
	for _, r := range routes {
		i.Routes = append(i.Routes, route(r))
	}
	// A gateway must be reachable by the time that its route is added.
	slices.SortStableFunc(i.Routes, func(a, b Route) int { return distance(a) - distance(b) })
	return n.neighbours(i)
}

func (n *Namespace) neighbours(i *Interface) error {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := n.handle.NeighList(i.Index, family)
		if err != nil {
			return err
		}
		for _, e := range list {
			if e.State&netlink.NUD_PERMANENT != 0 && len(e.HardwareAddr) == 6 {
				i.Neighbours = append(i.Neighbours, Neighbour{addr(e.IP), e.HardwareAddr})
			}
		}
	}
	return nil
}

func distance(r Route) int {
	if r.Gateway.IsValid() {
		return 1
	}
	return 0
}

func route(r netlink.Route) Route {
	out := Route{Destination: prefix(r.Dst), Gateway: addr(r.Gw), Source: addr(r.Src), Metric: r.Priority, Scope: int(r.Scope),
		Type: r.Type, Protocol: int(r.Protocol), OnLink: r.Flags&int(netlink.FLAG_ONLINK) != 0, MTU: r.MTU}
	if !out.Destination.IsValid() { // how the kernel says "default"
		zero := netip.IPv4Unspecified()
		if r.Family == netlink.FAMILY_V6 {
			zero = netip.IPv6Unspecified()
		}
		out.Destination = netip.PrefixFrom(zero, 0)
	}
	return out
}

func addr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip) // none is the zero Addr
	return a.Unmap()
}

func prefix(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(addr(n.IP), ones)
}
