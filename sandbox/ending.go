package sandbox

import (
	"errors"
	"fmt"
	"time"

	"kata/agent/api"
	"kata/jail"
)

// ErrHostMemory is the cause when the host killed a machine that had used up what
// its cgroup allows.
var ErrHostMemory = errors.New("out of memory on the host: the sandbox reached the memory limit of its cgroup")

// endGrace is how long a machine whose channel broke may take to be gone.
const endGrace = 500 * time.Millisecond

// ending finds the cause behind a broken channel, and whether the machine has ended;
// then the cause is nil for an orderly end. What the agent says is its own cause.
func (s *Sandbox) ending(err error) (ended bool, cause error) {
	if _, said := errors.AsType[*api.Error](err); said {
		return false, err
	}
	select {
	case <-s.machine.Done():
	case <-time.After(endGrace):
		if s.session != nil && s.session.Err() != nil {
			return false, fmt.Errorf("its channel broke: %w", s.session.Err())
		}
		return false, err
	}
	cause = s.machine.Err()
	if cause != nil && s.cgroup != nil && jail.OOMKills(s.cgroup.Dirs()) > 0 {
		cause = fmt.Errorf("%w: %w", ErrHostMemory, cause)
	}
	return true, cause
}
