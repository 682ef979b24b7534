package sandbox

import (
	"context"
	"errors"
	"time"

	"kata/agent/api"
	"kata/channel"
	"kata/vm"
)

// Stream is a standard I/O stream of a process on the channel.
type Stream = channel.Stream

// Stdio are a process' streams: 0, 1, 2, and those of the descriptors that it gets
// besides; a missing one is nil.
type Stdio []*Stream

// Close gives all streams up.
func (s Stdio) Close() {
	for _, st := range s {
		if st != nil {
			st.Close()
		}
	}
}

// openStdio opens the streams before the agent asks for them.
func (s *Sandbox) openStdio(id, exec string, p *api.Process) (Stdio, error) {
	out := make(Stdio, 3+len(p.Descriptors))
	for fd := range out {
		wanted := fd == 1 || fd > 2 || (fd == 0 && p.Stdin && !p.Terminal) || (fd == 2 && p.SeparateStderr)
		if !wanted {
			continue
		}
		st, err := s.session.Open(channel.Header{Kind: channel.Stdio, Name: api.StreamName(id, exec, fd)})
		if err != nil {
			out.Close()
			return nil, err
		}
		out[fd] = st
	}
	if p.Terminal {
		out[0] = out[1] // a terminal is one stream in both directions
	}
	return out, nil
}

// Create makes a container; its process waits for Start.
func (s *Sandbox) Create(ctx context.Context, req *api.CreateRequest) (Stdio, error) {
	begin := time.Now()
	io, err := s.openStdio(req.ID, "", &req.Process)
	if err != nil {
		return nil, err
	}
	if _, err := s.agent.Create(ctx, req); err != nil {
		io.Close()
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timings.Container == 0 {
		s.timings.Container = ms(time.Since(begin))
	}
	return io, nil
}

// Remove kills what is left of a container in the guest and forgets it.
func (s *Sandbox) Remove(ctx context.Context, id string) error {
	s.forgetNames(id)
	return s.agent.Remove(ctx, &api.ProcessRequest{ID: id})
}

// Join makes a container in a sandbox that runs, with files that were not let in at
// its start; RemoveShares takes them away once the container is removed. The shares
// may get other names.
func (s *Sandbox) Join(ctx context.Context, req *api.CreateRequest, shares []vm.Share) (Stdio, error) {
	m := s.machine.GuestShare()
	if !m.Below {
		rename(req, shares, s.place(req.ID))
	}
	if err := s.AddShares(shares); err != nil {
		return nil, err
	}
	if m.Below {
		req.Share = &api.Mount{Source: m.Source, Type: m.Type, Data: m.Data + "/" + req.ID, Flags: m.Flags}
	}
	io, err := s.Create(ctx, req)
	if err != nil {
		s.RemoveShares(shares)
	}
	return io, err
}

// AddShares lets more host files into the running machine; either all or none.
func (s *Sandbox) AddShares(shares []vm.Share) error {
	for i, sh := range shares {
		if err := s.machine.AddShare(sh); err != nil {
			s.RemoveShares(shares[:i])
			return err
		}
	}
	return nil
}

// RemoveShares takes shares of AddShares away again, the last first.
func (s *Sandbox) RemoveShares(shares []vm.Share) {
	for i := len(shares) - 1; i >= 0; i-- {
		_ = s.machine.RemoveShare(shares[i].Name) // goes with the machine at the latest
	}
}

// Start lets a created container run.
func (s *Sandbox) Start(ctx context.Context, id string) error {
	if err := s.SyncNetwork(ctx); err != nil {
		return err
	}
	if err := s.syncNames(ctx); err != nil {
		return err
	}
	return s.agent.Start(ctx, &api.ProcessRequest{ID: id})
}

// Exec starts another process in a running container.
func (s *Sandbox) Exec(ctx context.Context, req *api.ExecRequest) (Stdio, error) {
	io, err := s.openStdio(req.ID, req.Exec, &req.Process)
	if err != nil {
		return nil, err
	}
	if _, err := s.agent.Exec(ctx, req); err != nil {
		io.Close()
		return nil, err
	}
	return io, nil
}

// killedStatus is what a process is said to have ended with when its machine did:
// 128 plus SIGKILL.
const killedStatus = 137

var errPoweredOff = errors.New("it switched itself off")

// Wait returns how a process ended. The end of the machine is the end of its
// processes: then the status is that of SIGKILL, and err says why.
func (s *Sandbox) Wait(id, exec string) (status int, oom bool, err error) {
	resp, err := s.agent.Wait(context.Background(), &api.ProcessRequest{ID: id, Exec: exec})
	if err != nil {
		if _, err = s.ending(err); err == nil {
			err = errPoweredOff
		}
		return killedStatus, false, err
	}
	return int(resp.Status & 0xff), resp.OOMKilled, nil
}

// Signal sends a signal to a process, or with all to every one of the container.
func (s *Sandbox) Signal(ctx context.Context, id, exec string, signal int, all bool) error {
	return s.agent.Signal(ctx, &api.SignalRequest{ID: id, Exec: exec, Signal: uint32(signal), All: all})
}

// Resize sets the size of a process' terminal.
func (s *Sandbox) Resize(ctx context.Context, id, exec string, rows, columns uint32) error {
	return s.agent.Resize(ctx, &api.ResizeRequest{ID: id, Exec: exec, Rows: rows, Columns: columns})
}

// Processes lists a container's processes.
func (s *Sandbox) Processes(ctx context.Context, id string) ([]api.ProcessInfo, error) {
	r, err := s.agent.Processes(ctx, &api.ProcessRequest{ID: id})
	if err != nil {
		return nil, err
	}
	return r.Processes, nil
}

// Hello asks the agent for what it says of the guest, again.
func (s *Sandbox) Hello(ctx context.Context) (*api.HelloResponse, error) {
	return s.agent.Hello(ctx, &api.HelloRequest{Version: api.Version})
}
