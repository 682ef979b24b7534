package jail

import (
	"os"
	"strconv"
	"strings"
)

// OOMKills is how many processes the kernel has killed because the cgroup with these
// directories (Dirs) was out of memory.
func OOMKills(dirs []string) int {
	for _, dir := range dirs {
		for _, name := range []string{"memory.events", "memory.oom_control"} { // v2, v1
			b, err := os.ReadFile(dir + "/" + name)
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(b)) {
				if count, ok := strings.CutPrefix(line, "oom_kill "); ok {
					n, _ := strconv.Atoi(strings.TrimSpace(count)) // the kernel writes numbers
					return n
				}
			}
		}
	}
	return 0
}
