package proxy

import (
	"context"
	"fmt"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/agent/api"
)

// The operations on a container's resources.
const (
	Pause  Operation = "pause"
	Resume Operation = "resume"
	Stats  Operation = "stats"  // after Patience, or at the end of the container; the last ones come with Ended
	Update Operation = "update" // Resources
)

// StatePaused is runc's, beyond the specification's.
const StatePaused specs.ContainerState = "paused"

// control carries out the operations of this file; ok is false for others.
func (o *owner) control(ctx context.Context, req *Request) (resp *Response, ok bool, err error) {
	switch req.Op {
	case Pause:
		return &Response{}, true, o.pause(ctx)
	case Resume:
		return &Response{}, true, o.resume(ctx)
	case Update:
		return &Response{}, true, o.update(ctx, req.Resources)
	case Stats:
		resp, err := o.stats(ctx, req.Patience)
		return resp, true, err
	}
	return nil, false, nil
}

// stats waits and asks the guest. The proxy does not end before this has answered,
// so that the last word on a container that ends meanwhile is heard.
func (o *owner) stats(ctx context.Context, wait time.Duration) (*Response, error) {
	if st := o.state(); st == specs.StateStopped && wait == 0 {
		return nil, notIn(st)
	}
	resp := &Response{}
	if wait > 0 {
		select {
		case <-o.ended:
			resp.Ended = true
		case <-time.After(wait):
		}
	}
	var err error
	resp.Stats, err = o.sb.Stats(ctx, o.id)
	if resp.Ended {
		err = nil // the machine may have ended first
	}
	return resp, err
}

func notIn(st specs.ContainerState) error {
	return &api.Error{Code: api.CodePrecondition, Message: fmt.Sprintf("container is %s", st)}
}

// pause stops a container that runs, or is about to.
func (o *owner) pause(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.status != specs.StateRunning && (o.status != specs.StateCreated || o.begun) {
		return &api.Error{Code: api.CodePrecondition, Message: fmt.Sprintf("container is %s, not %s", o.status, specs.StateRunning)}
	}
	if err := o.sb.Freeze(ctx, o.id, true); err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	o.before, o.status = o.status, StatePaused
	return nil
}

func (o *owner) resume(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.status != StatePaused {
		return &api.Error{Code: api.CodePrecondition, Message: fmt.Sprintf("container is %s, not %s", o.status, StatePaused)}
	}
	if err := o.sb.Freeze(ctx, o.id, false); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	o.status = o.before
	return nil
}
