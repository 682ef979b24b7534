package link

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// address is struct ifaddrmsg. The host's routes come with the address, so the
// kernel makes none; and the address is known to be free.
func (d *device) address(a api.InterfaceAddress) (add, remove int, m message) {
	m = message{family(a.Address), uint8(a.Prefix), 0, uint8(a.Scope)}
	m = binary.NativeEndian.AppendUint32(m, uint32(d.index))
	m.attr(unix.IFA_LOCAL, a.Address)
	remote := a.Address
	if len(a.Peer) > 0 {
		remote = a.Peer
	}
	m.attr(unix.IFA_ADDRESS, remote)
	m.attr(unix.IFA_BROADCAST, a.Broadcast)
	m.number(unix.IFA_FLAGS, unix.IFA_F_NODAD|unix.IFA_F_NOPREFIXROUTE)
	return unix.RTM_NEWADDR, unix.RTM_DELADDR, m
}

// route is struct rtmsg, in the main table.
func (d *device) route(r api.Route) (add, remove int, m message) {
	var flags uint32
	if r.OnLink {
		flags = unix.RTNH_F_ONLINK
	}
	m = message{family(r.Destination), uint8(r.Prefix), 0, 0, unix.RT_TABLE_MAIN, uint8(r.Protocol), uint8(r.Scope), uint8(r.Type)}
	m = binary.NativeEndian.AppendUint32(m, flags)
	if r.Prefix > 0 {
		m.attr(unix.RTA_DST, r.Destination)
	}
	switch {
	case len(r.Gateway) == len(r.Destination):
		m.attr(unix.RTA_GATEWAY, r.Gateway)
	case len(r.Gateway) > 0: // an IPv4 route by way of an IPv6 neighbour
		via := binary.NativeEndian.AppendUint16(nil, uint16(family(r.Gateway)))
		m.attr(unix.RTA_VIA, append(via, r.Gateway...))
	}
	m.attr(unix.RTA_PREFSRC, r.Source)
	m.number(unix.RTA_OIF, uint32(d.index))
	m.number(unix.RTA_PRIORITY, r.Metric)
	if r.MTU != 0 {
		var metrics message
		metrics.number(unix.RTAX_MTU, r.MTU)
		m.attr(unix.RTA_METRICS, metrics)
	}
	return unix.RTM_NEWROUTE, unix.RTM_DELROUTE, m
}

// neighbour is struct ndmsg, for a permanent entry.
func (d *device) neighbour(n api.Neighbour) (add, remove int, m message) {
	m = message{family(n.Address), 0, 0, 0}
	m = binary.NativeEndian.AppendUint32(m, uint32(d.index))
	m = binary.NativeEndian.AppendUint16(m, unix.NUD_PERMANENT)
	m = append(m, 0, 0)
	m.attr(unix.NDA_DST, n.Address)
	m.attr(unix.NDA_LLADDR, n.MAC)
	return unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH, m
}
