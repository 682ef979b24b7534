package jail

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// SetCPUs changes the CPUs that everything in the jail runs on, now and later; none
// means all. A thread has those of the one that made it: who starts one meanwhile is
// found the next time round.
func (p *Process) SetCPUs(cpus []int) error {
	var set unix.CPUSet
	if len(cpus) == 0 {
		set.Fill()
	}
	for _, c := range cpus {
		set.Set(c)
	}
	done := map[int]bool{}
	for again := true; again; {
		again = false
		tids, err := p.threads()
		if err != nil {
			return err
		}
		for _, tid := range tids {
			if done[tid] {
				continue
			}
			if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("jail: CPUs %v: %w", cpus, err)
			}
			done[tid], again = true, true
		}
	}
	return nil
}

// threads are those of everything in the jail.
func (p *Process) threads() (tids []int, err error) {
	pids, err := p.tree()
	if err != nil {
		return nil, fmt.Errorf("jail: %w", err)
	}
	for _, pid := range pids {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		if err != nil {
			return nil, err
		}
		for _, task := range tasks {
			if tid, err := strconv.Atoi(filepath.Base(task)); err == nil {
				tids = append(tids, tid)
			}
		}
	}
	return tids, nil
}
