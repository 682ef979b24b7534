package check

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

const cpuinfo = "/proc/cpuinfo"

// processor is what an amd64 CPU lists.
type processor struct {
	extension bool // VMX or SVM
	virtual   bool // it is a hypervisor's
}

// processor reads the first "flags" line of /proc/cpuinfo. It reads no further than
// the first processors: with hundreds of them the whole file takes tens of
// milliseconds.
func (h Host) processor() (p processor, err error) {
	f, err := os.Open(h.path(cpuinfo))
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return p, fmt.Errorf("%s: %w", cpuinfo, e.Err)
	}
	defer f.Close()
	// A processor's entry has about 2 KiB; its flags line about 1.5.
	head, err := io.ReadAll(io.LimitReader(f, 16<<10))
	if err != nil {
		return p, err
	}
	for line := range bytes.Lines(head) {
		name, list, ok := bytes.Cut(line, []byte(":"))
		if !ok || string(bytes.TrimSpace(name)) != "flags" {
			continue
		}
		flags := bytes.Fields(list)
		has := func(flag string) bool {
			return slices.ContainsFunc(flags, func(f []byte) bool { return string(f) == flag })
		}
		return processor{extension: has("vmx") || has("svm"), virtual: has("hypervisor")}, nil
	}
	return p, errors.New("no flags in " + cpuinfo)
}
