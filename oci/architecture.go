package oci

import (
	"cmp"
	"fmt"
	"runtime"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ArchitectureAnnotation is where a bundle says for which architecture its programs
// are, in Go's names (OCI image spec, conversion.md, "Annotation Fields").
const ArchitectureAnnotation = "org.opencontainers.image.architecture"

// Architecture is what a container's programs are for; the host's, if nothing else is
// said.
func Architecture(s *specs.Spec) string {
	return cmp.Or(s.Annotations[ArchitectureAnnotation], runtime.GOARCH)
}

// CheckArchitecture refuses a container whose programs a machine cannot run. Error:
// ConfigError.
func CheckArchitecture(s *specs.Spec, machine string) error {
	if own := Architecture(s); own != machine {
		return &ConfigError{Field: "annotations." + ArchitectureAnnotation,
			Reason: fmt.Sprintf("the programs are for %s, and the machine of the sandbox is for %s", own, machine)}
	}
	return nil
}
