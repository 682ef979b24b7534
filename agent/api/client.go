package api

import "context"

// Agent is the client of the agent's service: one Go method for each of
// agent.proto. A cancelled context abandons the wait, not the work.
type Agent struct{ *Conn }

func call[Resp any](ctx context.Context, a Agent, method string, req any) (*Resp, error) {
	resp := new(Resp)
	if err := a.Call(ctx.Done(), method, req, resp); err != nil {
		return nil, err
	}
	return resp, nil
}

// Hello exchanges versions.
func (a Agent) Hello(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
	return call[HelloResponse](ctx, a, "Hello", r)
}

// Sandbox prepares the guest: clock, entropy, host name, share.
func (a Agent) Sandbox(ctx context.Context, r *SandboxRequest) error {
	_, err := call[Empty](ctx, a, "Sandbox", r)
	return err
}

// Interface makes a network device what an interface of the host is.
func (a Agent) Interface(ctx context.Context, r *InterfaceRequest) error {
	_, err := call[Empty](ctx, a, "Interface", r)
	return err
}

// Nameserver makes the guest ask the host what its processes ask a name server.
func (a Agent) Nameserver(ctx context.Context, r *NameserverRequest) error {
	_, err := call[Empty](ctx, a, "Nameserver", r)
	return err
}

// Disks lists the machine's disks.
func (a Agent) Disks(ctx context.Context) (*DisksResponse, error) {
	return call[DisksResponse](ctx, a, "Disks", &Empty{})
}

// Create makes a container whose process waits for Start.
func (a Agent) Create(ctx context.Context, r *CreateRequest) (*StartResponse, error) {
	return call[StartResponse](ctx, a, "Create", r)
}

// Start lets a created container's process run its command.
func (a Agent) Start(ctx context.Context, r *ProcessRequest) error {
	_, err := call[Empty](ctx, a, "Start", r)
	return err
}

// Exec starts another process in a running container.
func (a Agent) Exec(ctx context.Context, r *ExecRequest) (*StartResponse, error) {
	return call[StartResponse](ctx, a, "Exec", r)
}

// Signal sends a signal; one to a process that has ended is CodeNotFound.
func (a Agent) Signal(ctx context.Context, r *SignalRequest) error {
	_, err := call[Empty](ctx, a, "Signal", r)
	return err
}

// Wait returns when the process has ended; the end of its output is the end of
// its streams.
func (a Agent) Wait(ctx context.Context, r *ProcessRequest) (*WaitResponse, error) {
	return call[WaitResponse](ctx, a, "Wait", r)
}

// Resize sets the size of a process' terminal.
func (a Agent) Resize(ctx context.Context, r *ResizeRequest) error {
	_, err := call[Empty](ctx, a, "Resize", r)
	return err
}

// Processes lists a container's processes.
func (a Agent) Processes(ctx context.Context, r *ProcessRequest) (*ProcessesResponse, error) {
	return call[ProcessesResponse](ctx, a, "Processes", r)
}

// Freeze stops all processes of a container, or lets them go on.
func (a Agent) Freeze(ctx context.Context, r *FreezeRequest) error {
	_, err := call[Empty](ctx, a, "Freeze", r)
	return err
}

// Update sets limits of a container.
func (a Agent) Update(ctx context.Context, r *UpdateRequest) error {
	_, err := call[Empty](ctx, a, "Update", r)
	return err
}

// Stats reads what a container uses.
func (a Agent) Stats(ctx context.Context, r *ProcessRequest) (*StatsResponse, error) {
	return call[StatsResponse](ctx, a, "Stats", r)
}

// Remove kills what is left of a container and frees it.
func (a Agent) Remove(ctx context.Context, r *ProcessRequest) error {
	_, err := call[Empty](ctx, a, "Remove", r)
	return err
}

// Shutdown writes everything out and powers the guest off; no answer may come.
func (a Agent) Shutdown(ctx context.Context) error {
	_, err := call[Empty](ctx, a, "Shutdown", &Empty{})
	return err
}
