package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// AgentName is the file name of the guest's agent.
const AgentName = "kata-agent"

// GuestFiles returns the absolute paths of the guest's kernel, which a driver
// calls driverKernelName (a plain file name), and of the agent. A path from the
// configuration is taken as it is and must be a regular file. Otherwise the
// first hit counts, D being the directory of the running executable:
// D/guest/NAME (a source tree), D/../share/kata/NAME and D/../../share/kata/NAME
// (an installation, also from libexec/kata). The error lists all of them.
func (c *Config) GuestFiles(driverKernelName string) (kernel, agent string, err error) {
	exe, err := os.Executable()
	if err != nil {
		return "", "", fmt.Errorf("guest files: %w", err)
	}
	return c.guestFiles(filepath.Dir(exe), driverKernelName)
}

// guestFiles is GuestFiles with the executable's directory passed in.
func (c *Config) guestFiles(dir, kernelName string) (kernel, agent string, err error) {
	if kernelName == "" || filepath.Base(kernelName) != kernelName {
		return "", "", fmt.Errorf("guest kernel: %q is not a file name", kernelName)
	}
	if kernel, err = c.find("kernel", c.Kernel, dir, kernelName); err != nil {
		return "", "", err
	}
	if agent, err = c.find("agent", c.Agent, dir, AgentName); err != nil {
		return "", "", err
	}
	return kernel, agent, nil
}

// find returns the configured path or the first place that holds name.
func (c *Config) find(key, configured, dir, name string) (string, error) {
	if configured != "" {
		if !isFile(configured) {
			return "", fmt.Errorf("guest %s: %s (%q in %s) is not a regular file", key, configured, key, c.Source)
		}
		return configured, nil
	}
	places := []string{
		filepath.Join(dir, "guest", name),
		filepath.Join(dir, "..", "share", "kata", name),
		filepath.Join(dir, "..", "..", "share", "kata", name),
	}
	for _, p := range places {
		if isFile(p) {
			return p, nil
		}
	}
	return "", fmt.Errorf("guest %s %s not found; looked for %s; `make guest` builds it, or set %q in the configuration (now: %s)",
		key, name, strings.Join(places, ", "), key, c.Source)
}

// isFile reports whether path is a regular file, following links.
func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
