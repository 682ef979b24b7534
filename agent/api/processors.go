package api

import "context"

// ProcessorsRequest says how many processors the machine has.
type ProcessorsRequest struct {
	Count uint32 `pb:"1"`
}

// Processors has the guest use processors that the machine has got while it runs; it
// answers when they all work.
func (a Agent) Processors(ctx context.Context, r *ProcessorsRequest) error {
	_, err := call[Empty](ctx, a, "Processors", r)
	return err
}
