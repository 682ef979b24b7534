package config

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// AgentName is the file name of the guest's agent for the host's architecture.
const AgentName = "kata-agent"

// GuestFiles returns the absolute paths of the guest's kernel and of the agent, for
// which a driver has names (plain file names; agentName is AgentName, or that with a
// suffix for another architecture). A path from the configuration is taken as it is
// and must be a regular file; it is for the host's architecture. Otherwise the
// first hit counts, D being the directory of the running executable:
// D/guest/NAME (a source tree), D/../share/kata/NAME and D/../../share/kata/NAME
// (an installation, also from libexec/kata). The error lists all of them.
func (c *Config) GuestFiles(kernelName, agentName string) (kernel, agent string, err error) {
	exe, err := os.Executable()
	if err != nil {
		return "", "", fmt.Errorf("guest files: %w", err)
	}
	return c.guestFiles(filepath.Dir(exe), kernelName, cmp.Or(agentName, AgentName))
}

// guestFiles is GuestFiles with the executable's directory passed in.
func (c *Config) guestFiles(dir, kernelName, agentName string) (kernel, agent string, err error) {
	for _, name := range []string{kernelName, agentName} {
		if name == "" || filepath.Base(name) != name {
			return "", "", fmt.Errorf("guest files: %q is not a file name", name)
		}
	}
	if suffix := strings.TrimPrefix(agentName, AgentName); suffix != "" {
		foreign := Config{Source: c.Source} // what is configured is for the host's architecture
		return foreign.findBoth(dir, kernelName, agentName, "`make guest"+suffix+"` builds it")
	}
	return c.findBoth(dir, kernelName, agentName, "")
}

// findBoth returns the configured paths or the first places that hold the names;
// remedy replaces that of the error.
func (c *Config) findBoth(dir, kernelName, agentName, remedy string) (kernel, agent string, err error) {
	if kernel, err = c.find("kernel", c.Kernel, dir, kernelName, remedy); err != nil {
		return "", "", err
	}
	if agent, err = c.find("agent", c.Agent, dir, agentName, remedy); err != nil {
		return "", "", err
	}
	return kernel, agent, nil
}

func (c *Config) find(key, configured, dir, name, remedy string) (string, error) {
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
	if remedy == "" {
		remedy = fmt.Sprintf("`make guest` builds it, or set %q in the configuration (now: %s)", key, c.Source)
	}
	return "", fmt.Errorf("guest %s %s not found; looked for %s; %s", key, name, strings.Join(places, ", "), remedy)
}

// isFile reports whether path is a regular file, following links.
func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
