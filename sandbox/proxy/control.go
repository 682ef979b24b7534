package proxy

import (
	"context"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/agent/api"
)

// The operations on a container's resources.
const (
	Pause  Operation = "pause"
	Resume Operation = "resume"
	Stats  Operation = "stats" // answered by Response.Stats
)

// StatePaused is runc's, beyond the specification's.
const StatePaused specs.ContainerState = "paused"

// control carries out the operations of this file; ok is false for others.
func (o *owner) control(ctx context.Context, req *Request) (resp *Response, ok bool, err error) {
	switch req.Op {
	case Pause:
		return &Response{}, true, o.freeze(ctx, specs.StateRunning, StatePaused)
	case Resume:
		return &Response{}, true, o.freeze(ctx, StatePaused, specs.StateRunning)
	case Stats:
		if st := o.state(); st == specs.StateStopped {
			return nil, true, notIn(st)
		}
		files, err := o.sb.Stats(ctx, o.id)
		return &Response{Stats: files}, true, err
	}
	return nil, false, nil
}

func notIn(st specs.ContainerState) error {
	return &api.Error{Code: api.CodePrecondition, Message: fmt.Sprintf("container is %s", st)}
}

// freeze takes the container from one state to the other.
func (o *owner) freeze(ctx context.Context, from, to specs.ContainerState) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.status != from {
		return &api.Error{Code: api.CodePrecondition, Message: fmt.Sprintf("container is %s, not %s", o.status, from)}
	}
	if err := o.sb.Freeze(ctx, o.id, to == StatePaused); err != nil {
		return fmt.Errorf("%s: %w", to, err)
	}
	o.status = to
	return nil
}
