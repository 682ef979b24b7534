package vm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Auto asks for the best driver that works on this host.
const Auto = "auto"

var registry []Driver

// Register adds a driver; vm/all does, in order of preference among drivers of the
// same isolation.
func Register(d Driver) { registry = append(registry, d) }

// Drivers are the registered ones.
func Drivers() []Driver { return slices.Clone(registry) }

// Choose picks the driver called name, or with Auto the first one that works, for
// machines of an architecture ("" is the host's), hardware isolation before software. One below minimum is refused: the error
// (IsolationError) says what each driver lacks and what would allow the rest.
func Choose(name, arch string, minimum Isolation, options func(driver string) map[string]string) (Driver, Capabilities, error) {
	var reasons []error
	var soft Driver
	var softCaps Capabilities
	for _, d := range registry {
		if name != Auto && name != d.Name() {
			continue
		}
		caps, err := probe(d, arch, options(d.Name()))
		switch {
		case err != nil:
			if name != Auto {
				return nil, caps, err
			}
			reasons = append(reasons, err)
		case caps.Isolation == Hardware:
			return d, caps, nil
		case soft == nil:
			soft, softCaps = d, caps
		}
	}
	switch {
	case soft != nil && softCaps.Isolation.Satisfies(minimum):
		return soft, softCaps, nil
	case soft != nil:
		return nil, Capabilities{}, &IsolationError{Driver: soft.Name(), Reasons: append(reasons, whyNoHardware(arch))}
	case name != Auto && len(reasons) == 0:
		var names []string
		for _, d := range registry {
			names = append(names, d.Name())
		}
		return nil, Capabilities{}, fmt.Errorf("hypervisor %q is unknown; there are: %s, %s", name, Auto, strings.Join(names, ", "))
	}
	return nil, Capabilities{}, &NoneError{Reasons: reasons}
}

// joined writes several reasons as one line, each once.
func joined(reasons []error) string {
	var parts []string
	for _, r := range reasons {
		if text := r.Error(); !slices.Contains(parts, text) {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, "; ")
}

// NoneError says that no driver works on this host.
type NoneError struct {
	Reasons []error // Unavailable, each
}

func (e *NoneError) Error() string { return "no hypervisor works on this host: " + joined(e.Reasons) }

func (e *NoneError) Unwrap() []error { return e.Reasons }

// IsolationError says that only software isolation is to be had, and hardware
// isolation is asked for.
type IsolationError struct {
	Driver  string  // what would work
	Reasons []error // why hardware does not: Unavailable or check.Reason, each
}

func (e *IsolationError) Error() string {
	return fmt.Sprintf("hardware isolation is required, but not available: %s; %q would run with software isolation, "+
		"if --isolation=software or minimum_isolation = \"software\" in the configuration allowed it", joined(e.Reasons), e.Driver)
}

func (e *IsolationError) Unwrap() []error { return e.Reasons }

// IsIsolation says whether err is an IsolationError.
func IsIsolation(err error) bool {
	_, ok := errors.AsType[*IsolationError](err)
	return ok
}
