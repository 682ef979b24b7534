package stage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	cgroupRoot = "/sys/fs/cgroup"
	// cgroupVar lists the stage's cgroups for its PID 1.
	cgroupVar = "KATA_STAGE_CGROUPS"
)

// cgroups are the directories that are the roots of the stage's hierarchies: one
// with v2, one for each controller with v1.
type cgroups []string

// makeCgroups makes them below the roots of the host's hierarchies.
func makeCgroups(name string) (cgroups, error) {
	if unified() {
		dir := filepath.Join(cgroupRoot, name)
		return cgroups{dir}, os.Mkdir(dir, 0o755)
	}
	roots, err := filepath.Glob(cgroupRoot + "/*/tasks")
	if err != nil || len(roots) == 0 {
		return nil, errors.Join(fmt.Errorf("no cgroup hierarchy below %s", cgroupRoot), err)
	}
	var made cgroups
	for _, tasks := range roots {
		root := filepath.Dir(tasks)
		if real, err := os.Readlink(root); err == nil && real != "" {
			continue // cpu -> cpu,cpuacct
		}
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, errors.Join(err, made.remove())
		}
		made = append(made, dir)
		// A cpuset takes no process before it has these.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if value, err := os.ReadFile(filepath.Join(root, file)); err == nil {
				if err := os.WriteFile(filepath.Join(dir, file), value, 0); err != nil {
					return nil, errors.Join(err, made.remove())
				}
			}
		}
	}
	return made, nil
}

func unified() bool {
	_, err := os.Stat(cgroupRoot + "/cgroup.controllers")
	return err == nil
}

// enterCgroups moves this process into the stage's cgroups and makes them the
// roots of all that it can see.
func enterCgroups(dirs []string) error {
	for _, dir := range dirs {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
			return err
		}
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("new cgroup namespace: %w", err)
	}
	return nil
}

// mountCgroups mounts the hierarchies of this cgroup namespace. A v2 hierarchy
// beside those of v1 is left out: engines disagree on what to do with both.
func mountCgroups() error {
	list, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	if strings.HasPrefix(string(list), "0::") {
		if err := mount("cgroup2", cgroupRoot, ""); err != nil {
			return err
		}
		return delegate()
	}
	if err := mount("tmpfs", cgroupRoot, "mode=755"); err != nil {
		return err
	}
	for line := range strings.Lines(string(list)) {
		names := strings.SplitN(line, ":", 3)[1]
		dir := filepath.Join(cgroupRoot, strings.TrimPrefix(names, "name="))
		if names == "" {
			continue
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := mount("cgroup", dir, names); err != nil {
			return err
		}
	}
	return nil
}

// delegate lets the stage's root have children with controllers: with v2 it may
// then have no process itself.
func delegate() error {
	own := cgroupRoot + "/stage"
	if err := os.Mkdir(own, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(own+"/cgroup.procs", []byte("1"), 0); err != nil {
		return err
	}
	controllers, err := os.ReadFile(cgroupRoot + "/cgroup.controllers")
	if err != nil {
		return err
	}
	all := "+" + strings.Join(strings.Fields(string(controllers)), " +")
	return os.WriteFile(cgroupRoot+"/cgroup.subtree_control", []byte(all), 0)
}

// remove takes the cgroups away, once their last processes are gone.
func (c cgroups) remove() (errs error) {
	for _, root := range c {
		var dirs []string
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for i := len(dirs) - 1; i >= 0; i-- {
			err := os.Remove(dirs[i])
			for deadline := time.Now().Add(5 * time.Second); errors.Is(err, unix.EBUSY) && time.Now().Before(deadline); err = os.Remove(dirs[i]) {
				time.Sleep(10 * time.Millisecond)
			}
			errs = errors.Join(errs, err)
		}
	}
	return errs
}
