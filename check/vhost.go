package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Devices by which the host's kernel carries a machine's bytes itself. Machines work
// without them.
const (
	VhostVsock = "/dev/vhost-vsock" // a channel by address instead of by port
	VhostNet   = "/dev/vhost-net"   // the network's frames
)

// Vhost returns nil when the device (VhostVsock or VhostNet) can be opened, and
// otherwise why not.
func (h Host) Vhost(device string) *Reason {
	return h.bounded(device, VhostBroken, func() *Reason {
		// O_NONBLOCK: a FIFO or a foreign device in this place must not block.
		fd, err := unix.Open(h.path(device), unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return vhostReason(device, err)
		}
		unix.Close(fd)
		return nil
	})
}

func vhostReason(device string, err error) *Reason {
	module := strings.ReplaceAll(strings.TrimPrefix(device, "/dev/"), "-", "_")
	r := &Reason{Kind: VhostBroken, Err: err,
		Cause:  fmt.Sprintf("%s cannot be opened: %v", device, err),
		Remedy: "load the module " + module + " and look at the kernel log"}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.Kind, r.Cause = VhostAbsent, device+" does not exist"
		r.Remedy = "load the module " + module + "; in a container, pass the device in"
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		r.Kind, r.Cause = VhostAbsent, fmt.Sprintf("%s is a node without a driver: %v", device, err)
	case errors.Is(err, fs.ErrPermission):
		r.Kind = VhostPermission
		r.Cause = fmt.Sprintf("%s may not be opened by user %d: %v", device, os.Geteuid(), err)
		r.Remedy = "run as root or as a member of the device's group (usually kvm); in a container, allow the device"
	}
	return r
}
