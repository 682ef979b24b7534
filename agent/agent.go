package agent

import (
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kata/agent/api"
	"kata/agent/container"
	"kata/agent/link"
	"kata/channel"
)

// DefaultChannel is the channel's device when the command line does not say
// kata.channel=.
const DefaultChannel = "/dev/hvc0"

// memoryLimit is when the garbage collector starts to work for its money: below
// it, collecting costs a start more than the memory is worth.
const memoryLimit = 8 << 20

// agent serves one machine.
type agent struct {
	session *channel.Session
	methods map[string]api.Handler
	reaper  *container.Reaper
	devices link.Devices
	uptime  time.Duration // of the guest, when Run was called

	ready   chan struct{} // closed when the late mounts are there
	rescan  string        // what to write to for the kernel to look for devices that came; "" if it does by itself
	bootErr error         // why they are not

	mu         sync.Mutex
	containers map[string]*container.Container

	streamMu sync.Mutex
	streams  map[string]chan *channel.Stream // waiting for who wants them, by name
}

// Run is the life of PID 1. It returns only with an error; the caller powers off.
func Run() error {
	a := &agent{
		ready:      make(chan struct{}),
		containers: map[string]*container.Container{},
		streams:    map[string]chan *channel.Stream{},
	}
	a.methods = a.handlers()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err == nil {
		a.uptime = time.Duration(now.Nano())
	}
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(memoryLimit)
	if err := mountAll(earlyMounts); err != nil {
		return err
	}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	a.rescan = parameter(string(cmdline), "rescan", "")
	saved := parameter(string(cmdline), "template", "") != ""
	if saved {
		a.lateBoot() // once, for all machines that start from this one
		if a.bootErr != nil {
			return a.bootErr
		}
		if err := steady(time.Sleep); err != nil {
			return err
		}
		if err := a.rehearse(); err != nil {
			return fmt.Errorf("rehearsal: %w", err)
		}
	}
	if slack := parameter(string(cmdline), "timerslack", ""); slack != "" {
		if err := calm(slack); err != nil {
			return err
		}
	}
	rwc, err := openChannel(parameter(string(cmdline), "channel", DefaultChannel))
	if err != nil {
		return err
	}
	a.session, err = channel.New(rwc, channel.Agent)
	if err != nil {
		return fmt.Errorf("channel: %w", err)
	}
	if !saved {
		go a.lateBoot()
	}
	return a.accept()
}

// lateBoot does what is not needed to answer, while the host reads the answer.
func (a *agent) lateBoot() {
	defer close(a.ready)
	// Container processes share the agent's memory until they exec; nobody in a
	// container may look into it.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	unix.Umask(0)
	a.reaper = container.NewReaper()
	if a.bootErr = mountAll(lateMounts); a.bootErr != nil {
		return
	}
	for _, dir := range []string{api.ShareDir, "/run/kata/root"} {
		if a.bootErr = os.MkdirAll(dir, 0o755); a.bootErr != nil {
			return
		}
	}
	if a.bootErr = enableControllers(); a.bootErr != nil {
		return
	}
	a.bootErr = loopbackUp()
}

// accept takes the host's streams until the channel ends.
func (a *agent) accept() error {
	for {
		st, err := a.session.Accept()
		if err != nil {
			return fmt.Errorf("channel: %w", err)
		}
		switch st.Header().Kind {
		case channel.RPC:
			go func() {
				if err := api.Serve(st, a.methods); err != nil {
					fmt.Fprintln(os.Stderr, "kata-agent:", err)
				}
				st.Close()
			}()
		case channel.Stdio, channel.Names:
			a.slot(st.Header().Name) <- st
		default:
			st.Close()
		}
	}
}

// slot is where a stream and who wants it meet, whichever comes first.
func (a *agent) slot(name string) chan *channel.Stream {
	a.streamMu.Lock()
	defer a.streamMu.Unlock()
	ch := a.streams[name]
	if ch == nil {
		ch = make(chan *channel.Stream, 1)
		a.streams[name] = ch
	}
	return ch
}

// streamTime bounds the wait for a stream that the host said it opens.
const streamTime = 10 * time.Second

// processStreams hands out the stdio streams of one process.
func (a *agent) processStreams(id, exec string) container.Streams {
	return func(fd int) (container.Stream, error) {
		return a.stream(api.StreamName(id, exec, fd))
	}
}

// stream waits for a stream of the host, which is handed out once.
func (a *agent) stream(name string) (*channel.Stream, error) {
	defer func() {
		a.streamMu.Lock()
		delete(a.streams, name)
		a.streamMu.Unlock()
	}()
	select {
	case st := <-a.slot(name):
		return st, nil
	case <-time.After(streamTime):
		return nil, fmt.Errorf("the host opened no stream %s", name)
	}
}
