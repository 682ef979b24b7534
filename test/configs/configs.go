// Package configs is a table of configurations that are out of range, contradict
// themselves, or look as if they did. The tests of package compile want the error of
// each; test/conformance tries them with runc and with kata-runtime.
//
// It does not run anything, and does not have what is only of the wrong type: the
// tests of package oci make that of the specification's types.
package configs

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"

	"kata/oci"
)

//go:embed table
var table string

// Config is a change of the default configuration.
type Config struct {
	Heading string // what runc 1.1.5 does with it
	Patch   string // JSON merge patch (RFC 7396)
	Error   string // how the error begins: the field, a colon; none if it is accepted
}

// All returns the table.
func All() (all []Config) {
	var heading string
	for line := range strings.Lines(table) {
		line = strings.TrimSuffix(line, "\n")
		if h, ok := strings.CutPrefix(line, "== "); ok {
			heading = h
		} else if line != "" && line[0] != '#' {
			patch, want, _ := strings.Cut(line, " => ")
			all = append(all, Config{heading, patch, want})
		}
	}
	return all
}

// JSON returns the default configuration, for the command true and without a
// terminal, with the change.
func (c Config) JSON() ([]byte, error) { return Patched(c.Patch) }

// Patched is JSON for several patches, one after the other; an empty one changes
// nothing.
func Patched(patches ...string) ([]byte, error) {
	spec := oci.DefaultSpec()
	spec.Process.Args, spec.Process.Terminal = []string{"true"}, false
	raw, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	var document any
	if err := json.Unmarshal(raw, &document); err != nil {
		return nil, err
	}
	for _, p := range patches {
		if p == "" {
			continue
		}
		var change any
		if err := json.Unmarshal([]byte(p), &change); err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		document = merge(document, change)
	}
	return json.Marshal(document)
}

// merge applies a JSON merge patch.
func merge(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for name, value := range changes {
		if value == nil {
			delete(object, name)
		} else {
			object[name] = merge(object[name], value)
		}
	}
	return object
}
