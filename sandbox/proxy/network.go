package proxy

import (
	"fmt"
	"os"

	"kata/network"
	"kata/vm"
)

// takeover prepares a network namespace for a machine.
func takeover(namespace *os.File, caps vm.Capabilities) (*network.Takeover, error) {
	ns, err := network.Open(namespace)
	if err != nil {
		return nil, err
	}
	t, err := network.NewTakeover(ns, caps.Carrier)
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	if n := len(t.Devices()); n > caps.MaxNICs {
		t.Close()
		return nil, fmt.Errorf("network: the namespace has %d interfaces, a machine takes at most %d", n-network.Spares, caps.MaxNICs-network.Spares)
	}
	return t, nil
}
