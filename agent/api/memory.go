package api

import "context"

// MemoryResponse is how much memory the guest has.
type MemoryResponse struct {
	TotalKiB     uint64 `pb:"1"` // what the kernel calls MemTotal
	AvailableKiB uint64 `pb:"2"` // what could be used for something else
}

// Memory asks for the guest's memory.
func (a Agent) Memory(ctx context.Context) (*MemoryResponse, error) {
	return call[MemoryResponse](ctx, a, "Memory", &Empty{})
}
