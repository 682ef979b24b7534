package container

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// Unix98 terminals, which sysfs does not list (kernel, devices.txt).
const ptsFirst, ptsLast = 136, 143

// there says whether the guest has what is to be behind a node; the error is that of
// a node that may not do without. It runs before the guest's /sys is out of sight.
func there(d *api.Device) (bool, error) {
	if d.Need == api.NeedNothing || d.Major >= ptsFirst && d.Major <= ptsLast {
		return true, nil
	}
	kind := "char"
	if d.Mode&unix.S_IFMT == unix.S_IFBLK {
		kind = "block"
	}
	name := deviceName(kind, d.Major, d.Minor)
	switch {
	case name != "" && (d.Name == "" || d.Name == name):
		return true, nil
	case d.Need == api.NeedIfThere:
		return false, nil
	}
	what := fmt.Sprintf("%s device %d:%d", kind, d.Major, d.Minor)
	if d.Name != "" {
		what += " (" + d.Name + ")"
	}
	return false, &api.Error{Code: api.CodeInvalid, Message: "the guest's kernel has no " + what}
}

// deviceName is what the guest's kernel calls a device, "" if it has none.
func deviceName(kind string, major, minor uint32) string {
	b, err := os.ReadFile(fmt.Sprintf("/sys/dev/%s/%d:%d/uevent", kind, major, minor))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "DEVNAME="); ok {
			return strings.TrimSpace(name)
		}
	}
	return ""
}
