package network

import (
	"net"
	"net/netip"
	"time"
)

// Dial connects to an address as a process in the namespace would, through the host's
// own stack there.
func (t *Takeover) Dial(network string, to netip.AddrPort, timeout time.Duration) (c net.Conn, err error) {
	err = t.ns.inside(func() (err error) {
		c, err = net.DialTimeout(network, to.String(), timeout)
		return err
	})
	return c, err
}
