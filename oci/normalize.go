package oci

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// absoluteDestinations makes relative mount destinations absolute. The spec
// demands absolute ones since 1.0 but older engines wrote relative ones; runc
// accepts them with this warning, so we do.
func absoluteDestinations(spec *specs.Spec) (warnings []string) {
	for i := range spec.Mounts {
		m := &spec.Mounts[i]
		if path.IsAbs(m.Destination) {
			continue
		}
		warnings = append(warnings, fmt.Sprintf("mounts[%d].destination: %q is not absolute, taken as relative to /", i, m.Destination))
		m.Destination = path.Join("/", m.Destination)
	}
	return warnings
}

// absoluteSources makes the sources of bind mounts absolute: the spec has them
// relative to the bundle (config.md, "Mounts").
func absoluteSources(bundle string, spec *specs.Spec) {
	for i := range spec.Mounts {
		m := &spec.Mounts[i]
		if IsBind(m) && !filepath.IsAbs(m.Source) {
			m.Source = filepath.Join(bundle, m.Source)
		}
	}
}

// IsBind reports whether m is a bind mount: by its options, which is what
// counts, or by the type "bind", which the spec calls a dummy (config.md,
// "Mounts"). One that changes the options of a mount has no source.
func IsBind(m *specs.Mount) bool {
	if slices.Contains(m.Options, "remount") {
		return false // of what is there already
	}
	return m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
}
