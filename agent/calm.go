package agent

import (
	"fmt"
	"os"
	"runtime"

	"kata/agent/container"
)

// calm lets the timers of this process be late, by so many nanoseconds. While any of its
// threads works, one of Go's runtime looks every 20 µs whether others are held up in
// system calls; where interrupts are dear, that is a fifth of a container's start. That
// the others then are held up for longer is no harm if they are not the only ones that
// may run. It does not change the timers of containers.
func calm(slack string) error {
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), 2))
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads { // those that come later inherit it
		if err := os.WriteFile("/proc/"+t.Name()+"/timerslack_ns", []byte(slack), 0); err != nil {
			return fmt.Errorf("timers of the agent: %w", err)
		}
	}
	container.LateTimers = true
	return nil
}
