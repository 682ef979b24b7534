// Package config is what an administrator may set: it reads Kata's one TOML
// file, checks every value and finds the guest's kernel and agent.
//
// It does not know which drivers exist (package vm does; a name that no driver
// has is refused there), does not read OCI annotations, and never writes a file.
// It does nothing at start-up: the TOML parser runs only when a file exists,
// because a whole "run" has to fit into 100 ms.
package config

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

const (
	// EnvFile names the environment variable that overrides DefaultPath.
	EnvFile = "KATA_CONF_FILE"
	// DefaultPath is read when neither the caller nor EnvFile names a file.
	DefaultPath = "/etc/kata/configuration.toml"
	// BuiltIn is Config.Source when no file was read.
	BuiltIn = "built-in defaults"
	// DefaultTemplateDir is where saved machines are kept.
	DefaultTemplateDir = "/var/lib/kata/template"

	// maxFile bounds a configuration file, in bytes.
	maxFile = 1 << 20
)

// Values of Config.Hypervisor, Config.MinimumIsolation, UML.Mode, QEMU.Accelerator,
// QEMU.Machine, QEMU.Network and QEMU.Share.
const (
	HypervisorAuto    = "auto"
	IsolationHardware = "hardware"
	IsolationSoftware = "software"
	UMLPtrace         = "ptrace"
	UMLSeccomp        = "seccomp"
	QEMUAuto          = "auto"
	QEMUKVM           = "kvm"
	QEMUTCG           = "tcg"
	QEMUMicrovm       = "microvm"
	QEMUQ35           = "q35"
	QEMURelay         = "relay"
	QEMU9P            = "9p"
	QEMUVirtiofs      = "virtiofs"
)

// Config is one complete, checked configuration.
type Config struct {
	// Hypervisor is HypervisorAuto or the name of a driver. Only its form is
	// checked here.
	Hypervisor string
	// MinimumIsolation is IsolationHardware (the default) or IsolationSoftware:
	// the weakest isolation a sandbox may be started with.
	MinimumIsolation string
	// Kernel and Agent are absolute paths of guest files; empty means that
	// GuestFiles looks beside the executable.
	Kernel string
	Agent  string
	// DefaultMemory is the guest's memory in MiB where a container sets no limit.
	DefaultMemory int
	// DefaultVCPUs is the number of the guest's processors.
	DefaultVCPUs int
	// BootTimeout bounds the time from the start of the VMM to the agent's
	// first answer.
	BootTimeout time.Duration
	// PoolSize is how many machines of a kind wait for sandboxes to come, where the
	// driver can do that. The default is 0: none.
	PoolSize int
	// Debug asks for verbose logs and the guest's whole console.
	Debug bool
	// UML holds what only the user-mode kernel driver reads.
	UML UML
	// QEMU holds what only the QEMU driver reads.
	QEMU QEMU
	// Source says where the values came from: a file's path or BuiltIn.
	Source string
}

// UML is the [uml] table.
type UML struct {
	// Mode is how the kernel controls its processes: UMLPtrace (the default) or
	// UMLSeccomp, which is faster and needed for several CPUs, but lets a guest
	// process reach all of the guest's memory.
	Mode string
}

// QEMU is the [qemu] table.
type QEMU struct {
	// Accelerator is what runs the guest's code: QEMUKVM, QEMUTCG (emulation), or
	// QEMUAuto (the default) for KVM where it works and TCG where it does not.
	Accelerator string
	// Machine is the type of the machines of guests of amd64: QEMUMicrovm (the
	// default) or QEMUQ35.
	Machine string
	// Network is QEMUAuto (the default), which has the host's kernel carry frames where
	// it can, or QEMURelay.
	Network string
	// Share is how guests get the host's files: QEMU9P (the default), from QEMU itself,
	// or QEMUVirtiofs, from a daemon in a jail of its own.
	Share string
	// Template says that machines start from a saved one, which is made the first
	// time, where that is possible. The default is true.
	Template bool
	// TemplateDir is the absolute path of the directory for saved machines.
	TemplateDir string
}

// Default returns the configuration that is in force without any file.
func Default() *Config {
	return &Config{
		Hypervisor:       HypervisorAuto,
		MinimumIsolation: IsolationHardware,
		DefaultMemory:    512,
		DefaultVCPUs:     1,
		BootTimeout:      10 * time.Second,
		UML:              UML{Mode: UMLPtrace},
		QEMU:             QEMU{Accelerator: QEMUAuto, Machine: QEMUMicrovm, Network: QEMUAuto, Share: QEMU9P, Template: true, TemplateDir: DefaultTemplateDir},
		Source:           BuiltIn,
	}
}

// Load reads the configuration. A path that the caller names, or else the one
// in EnvFile, must exist; without either, DefaultPath is read if it exists and
// the built-in defaults hold if it does not. Keys that a file leaves out keep
// their defaults. The error is a *Error for everything the file's text caused.
func Load(path string) (*Config, error) {
	return load(path, os.Getenv(EnvFile), DefaultPath)
}

// load is Load with its surroundings passed in.
func load(path, env, fallback string) (*Config, error) {
	origin := ""
	switch {
	case path != "":
	case env != "":
		path, origin = env, " (named by "+EnvFile+")"
	default:
		path = fallback
		if _, err := os.Stat(path); os.IsNotExist(err) {
			return Default(), nil
		}
	}
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration%s: %w", origin, err)
	}
	return parse(path, data)
}

// readFile reads at most maxFile bytes of a regular file.
func readFile(path string) ([]byte, error) {
	// A FIFO would block the open, a device would never end: look first.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return data, nil
}

// DriverOptions returns what the driver's own table of the configuration says, as
// that driver reads it.
func (c *Config) DriverOptions(driver string) map[string]string {
	switch driver {
	case "uml":
		return map[string]string{"mode": c.UML.Mode}
	case "qemu":
		return map[string]string{"accelerator": c.QEMU.Accelerator, "machine": c.QEMU.Machine, "network": c.QEMU.Network, "share": c.QEMU.Share, "template": strconv.FormatBool(c.QEMU.Template), "template_dir": c.QEMU.TemplateDir}
	}
	return nil
}
