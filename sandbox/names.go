package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kata/agent/api"
	"kata/channel"
	"kata/network/names"
)

// probeTime bounds the connection that shows whether there is a name server.
const probeTime = time.Second

// maxNameServers bounds those that are asked for one sandbox.
const maxNameServers = 8

// nameServers are those that only the host reaches.
type nameServers struct {
	mu      sync.Mutex
	files   map[string]string // resolv.conf on the host, by container
	relayed []netip.Addr
}

// ReadNames says which file of the host is a container's resolv.conf, for as long as
// the container is there; "" is none. It is read at the container's start, and
// whenever the network changes.
func (s *Sandbox) ReadNames(id, resolvConf string) {
	if resolvConf == "" || s.network == nil {
		return
	}
	s.names.mu.Lock()
	defer s.names.mu.Unlock()
	if s.names.files == nil {
		s.names.files = map[string]string{}
	}
	s.names.files[id] = resolvConf
}

func (s *Sandbox) forgetNames(id string) {
	s.names.mu.Lock()
	defer s.names.mu.Unlock()
	delete(s.names.files, id)
}

// syncNames has the guest ask the host for what it asks the name servers on the loopback
// network that its containers' files name, if there is something at their address in
// the namespace. That stays so: what does not answer any more fails.
func (s *Sandbox) syncNames(ctx context.Context) error {
	s.names.mu.Lock()
	defer s.names.mu.Unlock()
	var errs []error
	for _, file := range s.names.files {
		for _, address := range loopbackServers(file) {
			if len(s.names.relayed) >= maxNameServers || slices.Contains(s.names.relayed, address) || !s.answers(address) {
				continue
			}
			if err := s.relay(ctx, address); err != nil {
				errs = append(errs, fmt.Errorf("name server %s: %w", address, err))
				continue
			}
			s.names.relayed = append(s.names.relayed, address)
		}
	}
	return errors.Join(errs...)
}

// followNames is syncNames for changes while the sandbox runs: engines start their name
// server before they make the interface that it is for.
func (s *Sandbox) followNames() {
	ctx, cancel := context.WithTimeout(context.Background(), networkTime)
	defer cancel()
	_ = s.syncNames(ctx)
}

// loopbackServers reads a file; one that cannot be read names none.
func loopbackServers(file string) []netip.Addr {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0) // do not wait for a FIFO's writer
	if err != nil {
		return nil
	}
	defer f.Close()
	return names.Loopback(f)
}

func (s *Sandbox) dialNames(address netip.Addr) names.Dial {
	return func(network string, timeout time.Duration) (net.Conn, error) {
		return s.network.Dial(network, netip.AddrPortFrom(address, names.Port), timeout)
	}
}

// answers says whether there is a name server at an address of the namespace; each must
// take connections (RFC 7766). In the guest an address without one is left to the
// containers.
func (s *Sandbox) answers(address netip.Addr) bool {
	c, err := s.dialNames(address)("tcp", probeTime)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func (s *Sandbox) relay(ctx context.Context, address netip.Addr) error {
	r := &api.NameserverRequest{Address: address.AsSlice()}
	st, err := s.session.Open(channel.Header{Kind: channel.Names, Name: api.NameserverStream(r.Address)})
	if err != nil {
		return err
	}
	if err := s.agent.Nameserver(ctx, r); err != nil {
		st.Close()
		return err
	}
	go names.Serve(st, s.dialNames(address))
	return nil
}
