package image

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Config is how an image wants its process to be run (OCI image spec,
// config.md, "Properties", "config").
type Config struct {
	Env        []string // NAME=VALUE
	Entrypoint []string
	Cmd        []string // arguments of Entrypoint, or the command without one
	User       string   // user[:group], names or numbers; see ResolveUser
	WorkingDir string
	Labels     map[string]string
}

// Apply merges c into spec.Process as Docker does; a nil Process is created.
//
// The command becomes Entrypoint followed by args, or by Cmd if there are no
// args; it is empty if the image names none, which package oci then refuses.
// Variables of the image replace those of spec with the same name. The working
// directory is the image's, or "/".
//
// User is left alone, as it takes the root filesystem: see ResolveUser. So are
// Labels: made into annotations, as the spec proposes (conversion.md), they
// would let an image configure its runtime.
func (c Config) Apply(spec *specs.Spec, args []string) {
	if spec.Process == nil {
		spec.Process = &specs.Process{}
	}
	p := spec.Process
	if len(args) == 0 {
		args = c.Cmd
	}
	p.Args = slices.Concat(c.Entrypoint, args)
	p.Env = MergeEnv(p.Env, c.Env)
	p.Cwd = "/" + strings.TrimLeft(c.WorkingDir, "/")
}

// MergeEnv returns base with the variables of over, which win: in their place
// if base has the name, else at the end. Both are lists of NAME=VALUE; of a
// name that is there twice, the last one counts.
func MergeEnv(base, over []string) []string {
	merged := make([]string, 0, len(base)+len(over))
	at := make(map[string]int, cap(merged))
	for _, kv := range slices.Concat(base, over) {
		name, _, _ := strings.Cut(kv, "=")
		if i, ok := at[name]; ok {
			merged[i] = kv
			continue
		}
		at[name] = len(merged)
		merged = append(merged, kv)
	}
	return merged
}
