package sandbox

import (
	"context"
	"errors"
	"time"

	"kata/jail"
	"kata/vm"
)

// Waiting is a machine that has started for no pod yet.
type Waiting struct{ sb *Sandbox }

// Wait starts a machine as Boot does, for whoever claims it. What belongs to one pod
// plays no part: o has no Network, and its Machine no Shares. The cgroup is the
// machine's until it is claimed.
func Wait(ctx context.Context, o Options) (*Waiting, error) {
	s, err := launch(ctx, o, func(_ context.Context, s *Sandbox) error {
		if _, ok := s.machine.(vm.Adopter); !ok {
			return errors.New(s.Driver + ": its machines cannot be started before it is known for whom")
		}
		return nil
	})
	return &Waiting{s}, err
}

// Claim makes the machine that of a pod, as Boot would have. The Waiting is used up,
// whether that succeeds or not; when it fails, nothing is left. Errors: vm.BootError.
func (w *Waiting) Claim(ctx context.Context, o Options) (_ *Sandbox, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, o.BootTimeout, vm.ErrBootTimeout)
	defer cancel()
	s, before := w.sb, w.sb.cgroup
	defer s.unless(ctx, &err, func(error) {})()
	s.timings, s.cgroup, s.begun = Timings{}, nil, time.Now()
	if err = s.take(&o); err == nil {
		answer := make(chan error, 1)
		go func() { answer <- s.hello(ctx) }() // needs nothing of the pod's
		if aerr := s.machine.(vm.Adopter).Adopt(o.Machine); aerr != nil {
			err = &vm.BootError{Phase: vm.PhasePrepare, Cause: aerr}
		}
		if herr := <-answer; err == nil {
			err = herr
		}
	}
	s.cgroup.Close()
	if before != nil {
		defer func() { _ = jail.RemoveCgroup(before.Dirs()) }() // empty, or what is in it must end
	}
	if err != nil {
		return nil, err
	}
	return s, s.prepare(ctx, o.Hostname)
}

// Done is closed when the machine has ended.
func (w *Waiting) Done() <-chan struct{} { return w.sb.Done() }

// Outdated is why no more machines such as this should be given out, nil if they may.
func (w *Waiting) Outdated() error { return w.sb.machine.(vm.Adopter).Outdated() }

// Stop ends the machine.
func (w *Waiting) Stop() { w.sb.Stop() }
