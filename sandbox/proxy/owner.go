package proxy

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"kata/agent/api"
	"kata/sandbox"
	"kata/sandbox/compile"
	"kata/vm"
)

// owner is a container of the sandbox with what the commands need to know of it.
type owner struct {
	id      string
	sb      *sandbox.Sandbox
	shares  []vm.Share // that came with it into the running machine
	first   bool       // the machine was made for it, and has its limits on the host
	disks   compile.Disks
	serials []string // of disks that came with it into the running machine

	mu     sync.Mutex
	status specs.ContainerState
	begun  bool                 // somebody starts it, or has
	before specs.ContainerState // it was paused
	procs  map[string]*process

	resourceMu sync.Mutex
	resources  *specs.LinuxResources // in force

	destroy chan struct{}  // closed when the container is to go
	gone    sync.Once      // closes destroy
	ended   chan struct{}  // closed when the container's first process has ended
	last    sync.WaitGroup // streams that are not dry, and requests without an answer
}

// process is one process of the container, the first under the name "".
type process struct {
	stdio   sandbox.Stdio
	standin int // the host's process that waits for it, once one does
	exited  chan struct{}
	exit    ExitInfo
	claimed chan struct{} // closed when somebody waits for the exit
	waited  chan struct{} // closed when somebody has been told it
	claim   sync.Once
	once    sync.Once
}

func newOwner(id string, sb *sandbox.Sandbox) *owner {
	return &owner{id: id, sb: sb, status: specs.StateCreated, procs: map[string]*process{},
		destroy: make(chan struct{}), ended: make(chan struct{})}
}

// add registers a process and waits for its end.
func (o *owner) add(name string, stdio sandbox.Stdio) {
	p := &process{stdio: stdio, exited: make(chan struct{}), claimed: make(chan struct{}), waited: make(chan struct{})}
	o.mu.Lock()
	o.procs[name] = p
	o.mu.Unlock()
	go func() {
		status, oom, err := o.sb.Wait(o.id, name)
		p.exit.Status = status
		switch {
		case err != nil:
			p.exit.Reason = "the virtual machine ended: " + err.Error()
		case oom:
			p.exit.Reason = "out of memory in the container"
		}
		if name == "" {
			o.mu.Lock()
			o.status = specs.StateStopped
			o.mu.Unlock()
		}
		close(p.exited)
		if name == "" {
			close(o.ended)
		}
	}()
}

func (o *owner) process(name string) (*process, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p := o.procs[name]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("no process %q", name)
}

// helloTime bounds what a status waits for a guest, which may be stuck.
const helloTime = 2 * time.Second

// callTime bounds what the agent does without waiting for anybody.
const callTime = 30 * time.Second

// answer carries out every operation that needs no connection of its own.
func (o *owner) answer(req *Request) (*Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTime+req.Patience)
	defer cancel()
	switch req.Op {
	case Status:
		return o.describe(ctx), nil
	case Start:
		return &Response{}, o.start(ctx)
	case Signal:
		return &Response{}, o.signal(ctx, req)
	case Exec:
		return &Response{}, o.exec(ctx, req)
	case Resize:
		return &Response{}, o.sb.Resize(ctx, o.id, req.Exec, req.Rows, req.Columns)
	case List:
		if o.state() == specs.StateStopped {
			return &Response{}, nil
		}
		list, err := o.sb.Processes(ctx, o.id)
		return &Response{Processes: list, Standins: o.standins()}, err
	}
	if resp, ok, err := o.control(ctx, req); ok {
		return resp, err
	}
	return nil, fmt.Errorf("unknown request %q", req.Op)
}

func (o *owner) state() specs.ContainerState {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.status
}

func (o *owner) describe(ctx context.Context) *Response {
	memory, _ := o.sb.MemoryKiB()
	info := &StatusInfo{Status: o.state(), Isolation: o.sb.Isolation, Hypervisor: o.sb.Driver,
		MachinePID: o.sb.MachinePID(), Timings: o.sb.Timings(), Kernel: o.sb.Guest.KernelRelease, MemoryKiB: memory}
	if info.Status != specs.StateStopped {
		ctx, cancel := context.WithTimeout(ctx, helloTime)
		defer cancel()
		if h, err := o.sb.Hello(ctx); err == nil { // a guest that does not answer still has a state
			info.AgentKiB = h.RSSKiB
		}
	}
	return &Response{Status: info}
}

func (o *owner) start(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.status != specs.StateCreated || o.begun {
		return &api.Error{Code: api.CodePrecondition, Message: fmt.Sprintf("cannot start a container that is %s", o.status)}
	}
	o.begun = true
	o.mu.Unlock() // hooks may take long, and ask for the state
	err := o.sb.Start(ctx, o.id)
	o.mu.Lock()
	if err != nil {
		return err
	}
	if o.status == specs.StateCreated { // it may have ended already
		o.status = specs.StateRunning
	}
	return nil
}

func (o *owner) signal(ctx context.Context, req *Request) error {
	if req.Exec == "" && o.state() == specs.StateStopped {
		return &api.Error{Code: api.CodePrecondition, Message: "container not running"}
	}
	err := o.sb.Signal(ctx, o.id, req.Exec, req.Signal, req.All)
	if req.Exec != "" || unix.Signal(req.Signal) != unix.SIGKILL {
		return err
	}
	if err != nil {
		select {
		case <-o.ended: // the end of the machine came before the agent's answer
			return nil
		default:
			return err
		}
	}
	// Whoever asks next must not be told that it still runs.
	select {
	case <-o.ended:
	case <-ctx.Done():
	}
	return nil
}

func (o *owner) exec(ctx context.Context, req *Request) error {
	if st := o.state(); st == specs.StateStopped || st == StatePaused && !req.IgnorePaused {
		return &api.Error{Code: api.CodePrecondition, Message: fmt.Sprintf("cannot exec in a container that is %s", st)}
	}
	if req.Process == nil || req.Exec == "" {
		return &api.Error{Code: api.CodeInvalid, Message: "exec: no process"}
	}
	p, err := compile.Exec(req.Process)
	if err != nil {
		return err
	}
	p.Descriptors = req.Descriptors
	stdio, err := o.sb.Exec(ctx, &api.ExecRequest{ID: o.id, Exec: req.Exec, Process: *p, Cgroup: req.Cgroup})
	if err != nil {
		return err
	}
	o.add(req.Exec, stdio)
	go o.expectWaiter(req.Exec)
	return nil
}

// claimTime is how long a process may run before somebody stands for it.
const claimTime = 10 * time.Second

// expectWaiter ends a process whose command was killed before it could wait.
func (o *owner) expectWaiter(name string) {
	p, err := o.process(name)
	if err != nil {
		return // waited for already
	}
	select {
	case <-p.claimed:
	case <-p.exited:
	case <-time.After(claimTime):
		ctx, cancel := context.WithTimeout(context.Background(), callTime)
		defer cancel()
		_ = o.sb.Signal(ctx, o.id, name, int(unix.SIGKILL), false) // it may just have ended
	}
}

// wait tells c how a process ended. The caller stands for the process: when the
// caller goes away first, the process is killed.
func (o *owner) wait(c *Conn, req *Request) {
	p, err := o.process(req.Exec)
	if err != nil {
		_ = c.send(&Response{Error: failure(err)})
		return
	}
	o.mu.Lock()
	p.standin = c.peer()
	o.mu.Unlock()
	p.claim.Do(func() { close(p.claimed) })
	gone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, c)
		close(gone)
	}()
	select {
	case <-p.exited:
		_ = c.send(&Response{Exit: &p.exit}) // one who is gone does not care
	case <-gone:
		ctx, cancel := context.WithTimeout(context.Background(), callTime)
		defer cancel()
		_ = o.sb.Signal(ctx, o.id, req.Exec, int(unix.SIGKILL), false)
	}
	p.once.Do(func() { close(p.waited) })
	if req.Exec != "" {
		o.mu.Lock()
		delete(o.procs, req.Exec)
		o.mu.Unlock()
	}
}

// stdio makes the connection one of the process' streams.
func (o *owner) stdio(c *Conn, req *Request) {
	p, err := o.process(req.Exec)
	if err == nil && (req.FD < 0 || req.FD >= len(p.stdio) || p.stdio[req.FD] == nil) {
		err = fmt.Errorf("the process has no stream %d", req.FD)
	}
	if err != nil {
		_ = c.send(&Response{Error: failure(err)})
		return
	}
	if err := c.send(&Response{}); err != nil {
		return
	}
	st := p.stdio[req.FD]
	o.last.Add(1)
	if req.FD > 2 {
		o.bothWays(c, st)
		return
	}
	defer o.last.Done()
	if req.FD == 0 {
		_, _ = io.Copy(struct{ io.Writer }{st}, c)
		if p.stdio[1] != st { // a terminal is not hung up
			_ = st.CloseWrite()
		}
		return
	}
	if _, err := io.Copy(c.UnixConn, struct{ io.Reader }{st}); err != nil {
		st.Close() // the reader went away: the process is to learn it
	}
	_ = c.CloseWrite()
}

// bothWays carries a descriptor whose use is the process' and the shim's affair.
func (o *owner) bothWays(c *Conn, st *sandbox.Stream) {
	in := make(chan struct{})
	go func() {
		defer close(in)
		_, _ = io.Copy(struct{ io.Writer }{st}, c)
		_ = st.CloseWrite()
	}()
	if _, err := io.Copy(c.UnixConn, struct{ io.Reader }{st}); err != nil {
		st.Close()
	}
	_ = c.CloseWrite()
	o.last.Done() // what the process may still have to read keeps nobody
	<-in
}
