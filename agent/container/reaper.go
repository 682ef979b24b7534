package container

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

// Reaper is the guest's only caller of wait4: it collects the processes that the
// agent started and the orphans that PID 1 inherits.
type Reaper struct {
	mu      sync.Mutex
	started sync.Cond // a child exists
	exits   map[int]chan unix.WaitStatus
	running bool
}

// NewReaper starts reaping.
func NewReaper() *Reaper {
	r := &Reaper{exits: map[int]chan unix.WaitStatus{}}
	r.started.L = &r.mu
	go r.loop()
	return r
}

// start runs f, which clones a child, and returns where its exit will appear. The
// lock makes sure that the exit is not collected before somebody waits for it.
func (r *Reaper) start(f func() (pid int, err error)) (<-chan unix.WaitStatus, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := f()
	if err != nil {
		return nil, err
	}
	ch := make(chan unix.WaitStatus, 1)
	r.exits[pid] = ch
	r.running = true
	r.started.Signal()
	return ch, nil
}

func (r *Reaper) loop() {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.ECHILD):
			r.mu.Lock()
			for !r.running {
				r.started.Wait()
			}
			r.running = false
			r.mu.Unlock()
		case err == nil && (ws.Exited() || ws.Signaled()):
			r.mu.Lock()
			if ch := r.exits[pid]; ch != nil {
				delete(r.exits, pid)
				ch <- ws
			}
			r.mu.Unlock()
		}
	}
}

// exitStatus is what a shell would report: the code, or 128 plus the signal.
func exitStatus(ws unix.WaitStatus) uint32 {
	if ws.Signaled() {
		return 128 + uint32(ws.Signal())
	}
	return uint32(ws.ExitStatus())
}
