package container

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// process is one process that the agent started.
type process struct {
	script *script
	spec   *api.Process
	pid    int // in the guest's pid namespace
	pidfd  int
	stdio  *stdio

	exited chan struct{} // closed once status is set
	status uint32
}

// inThread runs f on a thread of its own, which is thrown away afterwards: f may
// change its namespaces.
func inThread(f func() error) error {
	errc := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		errc <- f()
	}()
	return <-errc
}

// clone makes the process in namespaces of its own (flags) and in a cgroup.
func (p *process) clone(r *Reaper, flags uint64, cgroup int) (<-chan unix.WaitStatus, error) {
	p.script = newScript()
	return r.start(func() (pid int, err error) {
		p.pid, p.pidfd, err = p.script.clone(flags, cgroup)
		return p.pid, err
	})
}

// watch publishes the exit, and lets go of the process when its output is carried,
// however long the host takes for that. after runs between the process' end and
// its publication.
func (p *process) watch(exit <-chan unix.WaitStatus, after func()) {
	go func() {
		p.status = exitStatus(<-exit)
		if after != nil {
			after()
		}
		close(p.exited)
		if p.stdio != nil {
			p.stdio.finish()
		}
	}()
}

// run lets a prepared process execute its command.
func (p *process) run() error {
	err := p.script.release()
	p.stdio.started()
	p.script = nil
	var step *stepError
	if !errors.As(err, &step) {
		return err
	}
	if step.err == unix.EACCES || step.err == unix.ENOEXEC {
		return &api.Error{Code: api.CodeNotExecutable, Message: step.Error()}
	}
	if step.err == unix.ENOENT {
		return &api.Error{Code: api.CodeNoCommand, Message: step.Error()}
	}
	return step
}

// gone waits for the end of a process that did not come to run its command.
func (p *process) gone() {
	<-p.exited
	unix.Close(p.pidfd)
}

func (p *process) signal(sig unix.Signal) error {
	err := unix.PidfdSendSignal(p.pidfd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return &api.Error{Code: api.CodeNotFound, Message: "process already finished"}
	}
	return err
}

// adjust sets what takes the guest's privileges to set.
func (p *process) adjust(f *fence) error {
	if err := f.ids.limit(p); err != nil {
		return err
	}
	if err := f.clock.set(p.pid); err != nil {
		return err
	}
	if !p.spec.OOMScoreAdjSet {
		return nil
	}
	file := "/proc/" + strconv.Itoa(p.pid) + "/oom_score_adj"
	if err := os.WriteFile(file, strconv.AppendInt(nil, int64(p.spec.OOMScoreAdj), 10), 0); err != nil {
		return fmt.Errorf("process.oomScoreAdj: %w", err)
	}
	return nil
}
