package sandbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"kata/agent/api"
	"kata/channel"
	"kata/jail"
	"kata/network"
	"kata/vm"
)

// Options are what a sandbox is made from.
type Options struct {
	Driver       vm.Driver
	Capabilities vm.Capabilities
	Machine      vm.Spec
	// CgroupPath and Limits describe the host cgroup; without a path there is none.
	CgroupPath string
	Limits     jail.Limits
	Hostname   string
	// Network is what the machine takes over; nil is a loopback interface only. It
	// is the sandbox's from Boot on, whether that succeeds or not.
	Network     *network.Takeover
	BootTimeout time.Duration
}

// Timings of a start, in milliseconds.
type Timings struct {
	Prepare   float64 `json:"prepare_ms"`   // until the monitor is asked to start
	VMM       float64 `json:"vmm_ms"`       // until the monitor runs, jail included
	Kernel    float64 `json:"kernel_ms"`    // until the kernel starts the agent
	Agent     float64 `json:"agent_ms"`     // until the agent has answered
	Container float64 `json:"container_ms"` // until the first container is created
	// Boot is from the execution of the monitor to the agent's first answer.
	Boot float64 `json:"boot_ms"`
}

// Sandbox is a running pod. Its methods may be called concurrently.
type Sandbox struct {
	Capabilities vm.Capabilities // of the driver
	Isolation    vm.Isolation
	Driver       string
	Arch         string // the guest's, as in vm.Spec
	Guest        api.HelloResponse
	Notes        []string // about the start, for people

	machine vm.Machine
	session *channel.Session
	agent   api.Agent
	cgroup  *jail.Cgroup
	tail    *vm.ConsoleTail
	begun   time.Time // when the monitor ran, or the machine was claimed
	network *network.Takeover
	names   nameServers
	disks   disks
	size    size

	mu      sync.Mutex
	timings Timings
	places  map[string]int // how many containers had one, by id
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Boot starts the machine and waits until its agent has prepared the guest.
// Nothing is left behind when it fails. Errors: vm.BootError.
func Boot(ctx context.Context, o Options) (*Sandbox, error) {
	return launch(ctx, o, func(ctx context.Context, s *Sandbox) error { return s.prepare(ctx, o.Hostname) })
}

// launch starts a machine, greets its agent, and does the rest. Nothing is left when
// one of them fails.
func launch(ctx context.Context, o Options, rest func(context.Context, *Sandbox) error) (_ *Sandbox, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, o.BootTimeout, vm.ErrBootTimeout)
	defer cancel()
	s := &Sandbox{Isolation: o.Capabilities.Isolation, Driver: o.Driver.Name(), tail: &vm.ConsoleTail{}}
	keep, giveUp := context.WithCancelCause(context.WithoutCancel(ctx))
	defer s.unless(ctx, &err, giveUp)()
	if err = s.take(&o); err != nil {
		return nil, err
	}
	if err = s.start(keep, o.Driver, o.Machine); err != nil {
		return nil, err
	}
	if err = s.greet(ctx); err != nil {
		return nil, err
	}
	return s, rest(ctx, s)
}

// unless ends what a sandbox has when its start fails, or when ctx ends before the
// start has succeeded.
func (s *Sandbox) unless(ctx context.Context, err *error, giveUp context.CancelCauseFunc) func() {
	stop := context.AfterFunc(ctx, func() { giveUp(context.Cause(ctx)) })
	return func() {
		if !stop() && *err == nil {
			*err = s.bootError(ctx, vm.PhaseAgent, context.Cause(ctx))
		}
		if *err != nil {
			giveUp(*err)
			s.Stop()
		}
	}
}

// take makes what belongs to one pod the sandbox's, and completes the machine with it.
func (s *Sandbox) take(o *Options) (err error) {
	begin := time.Now()
	s.Arch, s.network, s.places = o.Machine.Arch, o.Network, firstPlaces(o.Machine.Shares)
	if o.CgroupPath != "" {
		if s.cgroup, err = jail.NewCgroup(o.CgroupPath, o.Limits); err != nil {
			return &vm.BootError{Phase: vm.PhasePrepare, Cause: err}
		}
	}
	o.Machine.Cgroup, o.Machine.Console = s.cgroup, s.tail
	if o.Network != nil {
		o.Machine.NICs = nics(o.Network)
	}
	s.Capabilities = o.Capabilities
	s.size.begin(o.Capabilities, o.Machine, o.Limits)
	s.disks.begin(o.Machine.Disks)
	s.timings.Prepare = ms(time.Since(begin))
	return nil
}

// start starts the machine, which lives until keep ends or Stop.
func (s *Sandbox) start(keep context.Context, d vm.Driver, m vm.Spec) (err error) {
	asked := time.Now()
	defer s.cgroup.Close()
	if s.machine, err = d.Start(keep, m); err != nil {
		return err
	}
	if n, ok := s.machine.(vm.Noted); ok {
		s.Notes = n.Notes()
	}
	s.begun = time.Now()
	s.timings.VMM = ms(s.begun.Sub(asked))
	return nil
}

// greet makes the session with the agent.
func (s *Sandbox) greet(ctx context.Context) error {
	var err error
	s.session, err = channel.New(s.machine.Channel(), channel.Host)
	if err != nil {
		return s.bootError(ctx, vm.PhaseKernel, err)
	}
	s.timings.Kernel = ms(time.Since(s.begun))
	st, err := s.session.Open(channel.Header{Kind: channel.RPC, Name: "agent"})
	if err != nil {
		return s.bootError(ctx, vm.PhaseAgent, err)
	}
	s.agent = api.Agent{Conn: api.NewConn(st)}
	return s.hello(ctx)
}

// hello asks the agent who it is.
func (s *Sandbox) hello(ctx context.Context) error {
	hello, err := s.agent.Hello(ctx, &api.HelloRequest{Version: api.Version})
	if err != nil {
		return s.bootError(ctx, vm.PhaseAgent, err)
	}
	s.timings.Boot = ms(time.Since(s.begun))
	s.timings.Agent = s.timings.Boot - s.timings.Kernel
	s.Guest = *hello
	s.size.memoryKiB.Store(hello.MemoryKiB)
	return nil
}

// prepare makes the guest that of one pod: clock, entropy, host name, share, network.
func (s *Sandbox) prepare(ctx context.Context, hostname string) error {
	entropy := make([]byte, 32)
	if _, err := rand.Read(entropy); err != nil {
		return s.bootError(ctx, vm.PhaseAgent, err)
	}
	share := s.machine.GuestShare()
	err := s.agent.Sandbox(ctx, &api.SandboxRequest{TimeNs: time.Now().UnixNano(), Entropy: entropy, Hostname: hostname,
		Share: &api.Mount{Source: share.Source, Type: share.Type, Data: share.Data, Flags: share.Flags}, ShareLate: share.Late})
	if err != nil {
		return s.bootError(ctx, vm.PhaseAgent, err)
	}
	s.growNetwork()
	if err := s.SyncNetwork(ctx); err != nil {
		return err
	}
	go s.followNetwork()
	return nil
}

// bootError finds the cause behind a broken channel: the time was up, or what ending
// finds.
func (s *Sandbox) bootError(ctx context.Context, phase vm.Phase, err error) error {
	if !errors.Is(err, channel.ErrVersion) {
		var ended bool
		if ended, err = s.ending(err); ended && err != nil { // on one line, as BootError promises
			err = fmt.Errorf("the machine ended: %w", err)
		} else if ended {
			err = errors.New("the machine ended")
		}
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return &vm.BootError{Phase: phase, Cause: err, Console: s.tail.String()}
}

// Timings of the start.
func (s *Sandbox) Timings() Timings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.timings
}

// MachinePID is the host process that, with its descendants, is the machine's monitor.
func (s *Sandbox) MachinePID() int { return s.machine.PID() }

// CgroupDirs are the host cgroup's directories; none without a cgroup.
func (s *Sandbox) CgroupDirs() []string {
	if s.cgroup == nil {
		return nil
	}
	return s.cgroup.Dirs()
}

// Console is the end of what the guest's kernel printed.
func (s *Sandbox) Console() string { return s.tail.String() }

// Done is closed when the machine has ended, for whatever reason.
func (s *Sandbox) Done() <-chan struct{} { return s.machine.Done() }

// Stop ends the machine at once and removes its cgroup. Containers that must not
// lose data have been waited for before: their exit includes writing it out.
func (s *Sandbox) Stop() {
	if s.session != nil {
		s.session.Close()
	}
	if s.machine != nil {
		s.machine.Kill()
		<-s.machine.Done()
		s.machine.Channel().Close()
	}
	if s.network != nil {
		s.network.Close()
	}
	if s.cgroup != nil {
		_ = jail.RemoveCgroup(s.cgroup.Dirs()) // delete looks again
	}
}
