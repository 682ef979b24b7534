package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

type mountpoint struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// On a root that is not an initrd, the kernel has mounted /dev itself
// (devtmpfs.mount=1): then this is one call that says EBUSY.
var earlyMounts = []mountpoint{
	{"dev", "/dev", "devtmpfs", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=755"},
	{"proc", "/proc", "proc", safe, ""},
}

var lateMounts = []mountpoint{
	{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
	{"sysfs", "/sys", "sysfs", safe, ""},
	{"cgroup2", "/sys/fs/cgroup", "cgroup2", safe, "nsdelegate"},
}

func mountAll(list []mountpoint) error {
	for _, m := range list {
		if err := unix.Mount(m.source, m.target, m.fstype, m.flags, m.data); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s at %s: %w", m.fstype, m.target, err)
		}
	}
	return nil
}

// device is a character device used as a plain byte stream. It reads and writes
// with blocking system calls: one call for each message, which is the least that
// a guest whose system calls are dear can do.
type device struct{ fd int }

func (s device) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(s.fd, p)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

func (s device) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Write(s.fd, p[done:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

func (s device) Close() error { return unix.Close(s.fd) }

// openChannel opens the device that the command line names and, if it is a
// terminal, makes it carry bytes as they are.
func openChannel(path string) (io.ReadWriteCloser, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("channel %s: %w", path, err)
	}
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return device{fd}, nil // not a terminal
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B38400
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return nil, fmt.Errorf("channel %s: %w", path, err)
	}
	return device{fd}, nil
}

// parameter returns the value of kata.KEY on the kernel's command line.
func parameter(cmdline, key, otherwise string) string {
	for f := range strings.FieldsSeq(cmdline) {
		if v, ok := strings.CutPrefix(f, "kata."+key+"="); ok {
			return v
		}
	}
	return otherwise
}

// enableControllers lets containers' cgroups have limits.
func enableControllers() error {
	const file = "/sys/fs/cgroup/cgroup.subtree_control"
	if err := os.WriteFile(file, []byte("+cpu +memory +pids +io +cpuset"), 0); err != nil {
		return fmt.Errorf("guest cgroups: %w", err)
	}
	return nil
}

// loopbackUp switches the guest's loopback interface on.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("loopback interface: %w", err)
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq("lo")
	if err == nil {
		ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_LOOPBACK)
		err = unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr)
	}
	if err != nil {
		return fmt.Errorf("loopback interface: %w", err)
	}
	return nil
}
