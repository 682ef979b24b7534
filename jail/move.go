package jail

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Move takes all processes of a jail into another cgroup. What they have used stays
// charged to the one they come from, as the kernel does it.
func (p *Process) Move(c *Cgroup) error {
	pids, err := p.tree()
	if err != nil {
		return fmt.Errorf("jail: %w", err)
	}
	for _, dir := range c.dirs {
		for _, pid := range pids {
			if err := os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(pid)), 0); err != nil {
				return fmt.Errorf("jail: enter the cgroup: %w", err)
			}
		}
	}
	return nil
}

// tree are the jail's PID 1 and what has come from it.
func (p *Process) tree() ([]int, error) {
	all := []int{p.PID}
	for i := 0; i < len(all); i++ {
		lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		if err != nil {
			return nil, err
		}
		for _, file := range lists {
			b, err := os.ReadFile(file)
			if err != nil {
				continue // a thread that has ended
			}
			for f := range strings.FieldsSeq(string(b)) {
				pid, err := strconv.Atoi(f)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", file, err)
				}
				all = append(all, pid)
			}
		}
	}
	return all, nil
}
