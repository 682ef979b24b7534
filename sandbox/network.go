package sandbox

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"kata/agent/api"
	"kata/network"
	"kata/vm"
)

// networkTime bounds what the agent does about a change of one interface.
const networkTime = 10 * time.Second

// settleTime lets the changes that belong together, such as an address and its
// routes, be seen at once.
const settleTime = 10 * time.Millisecond

func nics(t *network.Takeover) []vm.NIC {
	if t == nil {
		return nil
	}
	var list []vm.NIC
	for _, d := range t.Devices() {
		list = append(list, nic(d))
	}
	return list
}

func nic(d network.Device) vm.NIC {
	return vm.NIC{Socket: d.Socket, Namespace: d.Namespace, MAC: d.MAC}
}

// growNetwork lets the machine get devices for interfaces that it was not made for.
func (s *Sandbox) growNetwork() {
	if s.network == nil {
		return
	}
	if m, ok := s.machine.(vm.Tapped); ok {
		s.network.UseTaps(m.Tap)
	}
	if !s.Capabilities.HotNICs {
		return
	}
	s.network.OnDemand(func(d network.Device) error {
		ctx, cancel := context.WithTimeout(context.Background(), networkTime)
		defer cancel()
		return s.machine.AddNIC(ctx, nic(d))
	})
}

// SyncNetwork makes the guest's network devices what the interfaces of its
// namespace are now.
func (s *Sandbox) SyncNetwork(ctx context.Context) error {
	if s.network == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, networkTime)
	defer cancel()
	err := s.network.Sync(func(device net.HardwareAddr, i *network.Interface) error {
		return s.agent.Interface(ctx, interfaceRequest(device, i))
	})
	if err != nil {
		return fmt.Errorf("network: %w", err)
	}
	return nil
}

// followNetwork takes over what comes and goes while the sandbox runs. What could
// not be done is tried again with the next change, and told at a Start.
func (s *Sandbox) followNetwork() {
	if s.network == nil {
		return
	}
	for s.network.Wait() == nil {
		time.Sleep(settleTime)
		_ = s.SyncNetwork(context.Background())
		s.followNames()
	}
}

func interfaceRequest(device net.HardwareAddr, i *network.Interface) *api.InterfaceRequest {
	if i == nil {
		return &api.InterfaceRequest{Device: device, Gone: true}
	}
	r := &api.InterfaceRequest{Device: device, Name: i.Name, MAC: i.MAC, MTU: uint32(i.MTU), Up: i.Up}
	for _, a := range i.Addresses {
		r.Addresses = append(r.Addresses, api.InterfaceAddress{Address: a.Prefix.Addr().AsSlice(), Prefix: uint32(a.Prefix.Bits()),
			Peer: bytesOf(a.Peer), Broadcast: a.Broadcast.AsSlice(), Scope: uint32(a.Scope)})
	}
	for _, rt := range i.Routes {
		r.Routes = append(r.Routes, api.Route{Destination: rt.Destination.Addr().AsSlice(), Prefix: uint32(rt.Destination.Bits()),
			Gateway: rt.Gateway.AsSlice(), Source: rt.Source.AsSlice(), Metric: uint32(rt.Metric), Scope: uint32(rt.Scope),
			Type: uint32(rt.Type), Protocol: uint32(rt.Protocol), OnLink: rt.OnLink, MTU: uint32(rt.MTU)})
	}
	for _, n := range i.Neighbours {
		r.Neighbours = append(r.Neighbours, api.Neighbour{Address: n.Address.AsSlice(), MAC: n.MAC})
	}
	return r
}

func bytesOf(p netip.Prefix) []byte {
	if !p.IsValid() {
		return nil
	}
	return p.Addr().AsSlice()
}
