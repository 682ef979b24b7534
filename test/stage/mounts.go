package stage

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// private directories are empty on each stage: the state that engines keep outside
// of the directories that they can be told to use.
var private = []string{"/run", "/var/lib/cni"}

// mountAll replaces what would show or change the host.
func mountAll(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := mount("proc", "/proc", ""); err != nil {
		return err
	}
	// The new sysfs shows the stage's network and has no cgroups mounted yet.
	if err := mount("sysfs", "/sys", ""); err != nil {
		return err
	}
	if err := mountCgroups(); err != nil {
		return err
	}
	for _, d := range private {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
		if err := mount("tmpfs", d, "mode=755"); err != nil {
			return err
		}
	}
	for _, d := range []string{"/run/lock", "/run/netns"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	// What is written to /etc goes away with the stage.
	etc := filepath.Join(dir, ".etc")
	for _, d := range []string{"upper", "work"} {
		if err := os.MkdirAll(filepath.Join(etc, d), 0o755); err != nil {
			return err
		}
	}
	if err := mount("overlay", "/etc", fmt.Sprintf("lowerdir=/etc,upperdir=%s/upper,workdir=%s/work", etc, etc)); err != nil {
		return err
	}
	// As on hosts with systemd; volumes that propagate need it.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("make mounts shared: %w", err)
	}
	return nil
}

func mount(fstype, target, options string) error {
	if err := unix.Mount(fstype, target, fstype, 0, options); err != nil {
		return fmt.Errorf("mount %s on %s: %w", fstype, target, err)
	}
	return nil
}

// mountPoints of this mount namespace, in the order of their making.
func mountPoints() ([]string, error) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var points []string
	for line := range strings.Lines(string(info)) {
		if f := strings.Fields(line); len(f) > 4 {
			points = append(points, f[4])
		}
	}
	return points, nil
}
