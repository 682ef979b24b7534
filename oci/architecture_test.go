package oci

import (
	"errors"
	"runtime"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestArchitecture(t *testing.T) {
	s := &specs.Spec{}
	if got := Architecture(s); got != runtime.GOARCH {
		t.Errorf("nothing said: %s", got)
	}
	if err := CheckArchitecture(s, runtime.GOARCH); err != nil {
		t.Error(err)
	}
	s.Annotations = map[string]string{ArchitectureAnnotation: "vax"}
	if err := CheckArchitecture(s, "vax"); err != nil {
		t.Error(err)
	}
	err := CheckArchitecture(s, runtime.GOARCH)
	if e, ok := errors.AsType[*ConfigError](err); !ok || e.Field != "annotations."+ArchitectureAnnotation {
		t.Errorf("%v", err)
	}
}
