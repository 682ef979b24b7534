package proxy

import (
	"context"
	"fmt"
	"math"
	"time"

	"kata/config"
	"kata/network"
	"kata/sandbox"
	"kata/vm"
)

// minMemoryMiB is the least that a guest boots and works with.
const minMemoryMiB = 96

// Choice is what a command line says about machines; what is empty, the configuration
// says.
type Choice struct {
	Config     string `json:"config,omitempty"`
	Isolation  string `json:"isolation,omitempty"`
	Hypervisor string `json:"hypervisor,omitempty"`
	Debug      bool   `json:"debug,omitempty"`
}

// choose reads the configuration and picks the driver for machines of an architecture.
func choose(ch *Choice, arch string) (*config.Config, vm.Driver, vm.Capabilities, error) {
	var caps vm.Capabilities
	cfg, err := config.Load(ch.Config)
	if err != nil {
		return nil, nil, caps, err
	}
	if ch.Hypervisor != "" {
		cfg.Hypervisor = ch.Hypervisor
	}
	if ch.Isolation != "" {
		cfg.MinimumIsolation = ch.Isolation
	}
	cfg.Debug = cfg.Debug || ch.Debug
	minimum, err := vm.ParseIsolation(cfg.MinimumIsolation)
	if err != nil {
		return nil, nil, caps, err
	}
	driver, caps, err := vm.Choose(cfg.Hypervisor, arch, minimum, cfg.DriverOptions)
	return cfg, driver, caps, err
}

// machineFor is the machine for a container with limits, without what belongs to one
// container. Limits of 0 are none.
func machineFor(cfg *config.Config, driver vm.Driver, caps vm.Capabilities, memoryMiB int, cpus float64) (vm.Spec, error) {
	kernel, agent, err := cfg.GuestFiles(caps.KernelFile, caps.AgentFile)
	if err != nil {
		return vm.Spec{}, err
	}
	memory := cfg.DefaultMemory
	if memoryMiB > 0 {
		memory = max(memoryMiB+sandbox.GuestMiB, minMemoryMiB)
	}
	if cfg.DefaultVCPUs > caps.MaxVCPUs {
		return vm.Spec{}, fmt.Errorf("default_vcpus = %d: %s has at most %d in its present mode", cfg.DefaultVCPUs, driver.Name(), caps.MaxVCPUs)
	}
	return vm.Spec{
		Kernel: kernel, Agent: agent, MemoryMiB: memory, VCPUs: min(max(cfg.DefaultVCPUs, int(math.Ceil(cpus))), caps.MaxVCPUs),
		Verbose: cfg.Debug, Options: cfg.DriverOptions(driver.Name()),
	}, nil
}

// bootTimeout is how long a machine may take until it is ready.
func bootTimeout(cfg *config.Config, caps vm.Capabilities) time.Duration {
	return cfg.BootTimeout * time.Duration(max(caps.BootFactor, 1))
}

// blank are network devices that nothing is connected to yet.
func blank(n int) (nics []vm.NIC) {
	for i := range n {
		nics = append(nics, vm.NIC{MAC: network.FirstMAC(i)})
	}
	return nics
}

// SaveTemplates saves the machines that containers with such limits start from: one
// without a network, and one for a network with some interfaces. It returns their ids.
func SaveTemplates(ctx context.Context, ch *Choice, memoryMiB int, cpus float64, interfaces int) ([]string, error) {
	cfg, driver, caps, err := choose(ch, "")
	if err != nil {
		return nil, err
	}
	t, ok := driver.(vm.Templated)
	if !ok {
		return nil, fmt.Errorf("machines of %s are not saved: they boot each time; --hypervisor chooses another", driver.Name())
	}
	m, err := machineFor(cfg, driver, caps, memoryMiB, cpus)
	if err != nil {
		return nil, err
	}
	if n := network.Count(interfaces); interfaces < 0 || n > caps.MaxNICs {
		return nil, fmt.Errorf("%d network interfaces: a machine takes from 0 to %d", interfaces, caps.MaxNICs-network.Spares)
	}
	var ids []string
	for _, nics := range []int{0, network.Count(interfaces)} {
		m.NICs = blank(nics)
		id, err := saveTemplate(ctx, t, m, bootTimeout(cfg, caps))
		if err != nil {
			return ids, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func saveTemplate(ctx context.Context, t vm.Templated, m vm.Spec, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, vm.ErrBootTimeout)
	defer cancel()
	return t.SaveTemplate(ctx, m)
}
