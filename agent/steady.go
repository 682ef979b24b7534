package agent

import (
	"fmt"
	"time"
)

// steady says whether the guest's timers keep the time of its clock. A machine that is
// saved must have good ones: all that start from it have the same. sleep is the guest's.
func steady(sleep func(time.Duration)) error {
	const (
		nap   = 10 * time.Millisecond
		tries = 20 // a busy host is late now and then, a wrong timer always
	)
	best := time.Hour
	for range tries {
		begin := time.Now()
		sleep(nap)
		if best = min(best, time.Since(begin)); best < 2*nap {
			return nil
		}
	}
	return fmt.Errorf("timers of the guest: %v take at least %v; such a machine is not worth saving", nap, best)
}
