package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// tunDevice makes tap devices, by which the host's kernel exchanges frames with a machine
// itself. Machines work without.
const tunDevice = "/dev/net/tun"

// Tun returns nil when the host makes tap devices such as machines use, with headers for
// long frames and with several queues, and otherwise why not.
func (h Host) Tun() *Reason {
	return h.bounded(tunDevice, TunBroken, func() *Reason {
		fd, err := unix.Open(h.path(tunDevice), unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return tunReason(err)
		}
		defer unix.Close(fd)
		const need = unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR | unix.IFF_MULTI_QUEUE
		if has, err := unix.IoctlGetUint32(fd, unix.TUNGETFEATURES); err != nil || has&need != need {
			return &Reason{Kind: TunBroken, Err: err, Cause: fmt.Sprintf("%s makes no tap devices with several queues (features %#x, %v)", tunDevice, has, err),
				Remedy: "use a kernel with CONFIG_TUN, and the device with the numbers 10, 200"}
		}
		return nil
	})
}

func tunReason(err error) *Reason {
	r := &Reason{Kind: TunBroken, Err: err, Cause: fmt.Sprintf("%s cannot be opened: %v", tunDevice, err), Remedy: "load the module tun and look at the kernel log"}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		r.Kind, r.Cause = TunAbsent, fmt.Sprintf("%s does not exist, or is a node without a driver: %v", tunDevice, err)
		r.Remedy = "load the module tun; in a container, pass the device in"
	case errors.Is(err, fs.ErrPermission):
		r.Kind, r.Cause = TunPermission, fmt.Sprintf("%s may not be opened by user %d: %v", tunDevice, os.Geteuid(), err)
		r.Remedy = "run as root; in a container, allow the device"
	}
	return r
}
