package sandbox

import (
	"context"
	"errors"
	"time"
)

// errHung is why a guest that was asked to switch itself off was not waited for.
var errHung = errors.New("the guest did not switch itself off")

// PowerOff ends the machine in an orderly way: the guest writes out what it has, and
// switches itself off. One that has not done so after patience is stopped, which the
// error says. Stop still has to be called.
func (s *Sandbox) PowerOff(patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := s.agent.Shutdown(ctx) // the answer may be lost with the machine
	select {
	case <-s.machine.Done():
		return s.machine.Err()
	case <-ctx.Done():
		s.machine.Kill()
		<-s.machine.Done()
		return errors.Join(errHung, err)
	}
}
