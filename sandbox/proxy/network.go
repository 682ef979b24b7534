package proxy

import (
	"fmt"
	"os"

	"kata/network"
	"kata/vm"
)

// takeover prepares the network namespace that the proxy inherits for a machine.
func takeover(caps vm.Capabilities) (*network.Takeover, error) {
	ns, err := network.Open(os.NewFile(networkFD, "of the container"))
	if err != nil {
		return nil, err
	}
	t, err := network.NewTakeover(ns, caps.LongFrames)
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	if n := len(t.Devices()); n > caps.MaxNICs {
		t.Close()
		return nil, fmt.Errorf("network: the namespace has %d interfaces, a machine takes at most %d", n-network.Spares, caps.MaxNICs-network.Spares)
	}
	return t, nil
}
