package cli

import (
	"errors"
	"fmt"
	"os"
	"time"

	"kata/jail"
	"kata/sandbox/proxy"
	"kata/sandbox/shim"
	"kata/sandbox/state"
)

func cmdCreate(a *app, args []string) error {
	fs := newFlags("create")
	var c createFlags
	c.register(fs)
	id, err := oneID(fs, args)
	if err != nil {
		return err
	}
	c.detach = true
	k, err := a.create(id, &c)
	if err != nil {
		return err
	}
	return a.leave(k, &c)
}

// leave hands a created container to a shim of its own.
func (a *app) leave(k *created, c *createFlags) error {
	terminal := k.bundle.Spec.Process.Terminal
	err := checkTerminal(terminal, true, c.consoleSocket)
	var pid int
	if err == nil {
		pid, err = a.startShim(k.dir, k.record.ID, shimOptions{terminal: terminal, consoleSocket: c.consoleSocket, more: k.more, ns: shimNamespaces(k.bundle.Spec, k.netns)})
	}
	if err == nil {
		if err = k.commit(pid, &c.announcement); err != nil {
			k.record.Shim.End(0) // it would complain of the end of the sandbox
		}
	}
	if err != nil {
		return errors.Join(err, a.discard(k))
	}
	return nil
}

func cmdStart(a *app, args []string) error {
	fs := newFlags("start")
	id, err := oneID(fs, args)
	if err != nil {
		return err
	}
	dir := state.At(a.root, id)
	r, err := dir.Load()
	if err != nil {
		return fmt.Errorf("container %q: %w", id, err)
	}
	err = start(dir, r)
	if errors.Is(err, state.ErrGone) {
		return fmt.Errorf("container %q is stopped: %w", id, err)
	}
	return err
}

func cmdRun(a *app, args []string) error {
	fs := newFlags("run")
	var c createFlags
	c.register(fs)
	for _, name := range []string{"detach", "d"} {
		fs.BoolVar(&c.detach, name, false, "leave the container running")
	}
	fs.BoolVar(&c.keep, "keep", false, "keep the container's state after its end")
	id, err := oneID(fs, args)
	if err != nil {
		return err
	}
	k, err := a.create(id, &c)
	if err != nil {
		return err
	}
	if c.detach {
		if err := a.leave(k, &c); err != nil {
			return err
		}
		if err := start(k.dir, k.record); err != nil {
			return errors.Join(err, a.discard(k))
		}
		return nil
	}
	return a.foreground(k, &c)
}

// foreground runs a container with this process as its shim.
func (a *app) foreground(k *created, c *createFlags) error {
	terminal := k.bundle.Spec.Process.Terminal
	if err := checkTerminal(terminal, false, c.consoleSocket); err != nil {
		return errors.Join(err, a.discard(k))
	}
	status, err := a.relay(shim.Options{Dir: k.dir, Terminal: terminal, More: k.more}, func() error {
		if err := k.commit(os.Getpid(), &c.announcement); err != nil {
			return err
		}
		return start(k.dir, k.record)
	})
	if !c.keep {
		err = errors.Join(err, a.discard(k))
	}
	return a.result(status, err)
}

// result makes the command end as the process did; what went wrong besides is said.
func (a *app) result(status int, err error) error {
	if status == 0 {
		return err
	}
	if err != nil {
		a.log("error", oneLine(err.Error()))
	}
	return exitError(status)
}

// relay attaches this process' I/O to one in the sandbox, calls begin, and waits.
func (a *app) relay(o shim.Options, begin func() error) (int, error) {
	o.Stdin, o.Stdout, o.Stderr = os.Stdin, os.Stdout, os.Stderr
	if o.Terminal {
		restore, err := shim.MakeRaw(os.Stdin)
		if err != nil {
			return 0, err
		}
		defer restore()
		o.Console = os.Stdin
	}
	s, err := shim.Attach(o)
	if err != nil {
		return 0, err
	}
	s.ForwardSignals()
	s.Resize()
	if err := begin(); err != nil {
		return 0, err
	}
	return s.Wait()
}

// endTime is how long the owner of a sandbox may take to end by itself.
const endTime = 5 * time.Second

// discard destroys a container that this command has made.
func (a *app) discard(k *created) error {
	if k.ack != nil {
		k.ack.Close()
	}
	return a.destroy(k.dir, k.record)
}

// destroy ends and removes whatever there is of a container. It works from what
// the record knows, whoever has been killed.
func (a *app) destroy(dir state.Dir, r *state.Record) error {
	resp, err := proxy.Call(dir, &proxy.Request{Op: proxy.Destroy})
	if err != nil && !errors.Is(err, state.ErrGone) && !isNotExist(err) {
		r.Proxy.End(0) // it does not answer
	}
	shared := err == nil && resp.Others > 0 // the sandbox goes on without this container
	if !shared {
		r.Proxy.End(endTime)
	}
	if r.Shim.PID != os.Getpid() {
		r.Shim.End(endTime)
	}
	if !shared {
		if err := jail.RemoveCgroup(r.CgroupDirs); err != nil {
			return err
		}
	}
	if err := dir.Remove(); err != nil {
		return err
	}
	a.poststop(r)
	return nil
}

// call makes one request to a container's sandbox. Errors: state.ErrNotExist; a
// sandbox that is gone is a container that is stopped.
func (a *app) call(id string, req *proxy.Request) (*proxy.Response, error) {
	c, err := a.dial(id)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return a.ask(c, id, req)
}

func (a *app) dial(id string) (*proxy.Conn, error) {
	dir := state.At(a.root, id)
	if !dir.Exists() {
		return nil, fmt.Errorf("container %q: %w", id, state.ErrNotExist)
	}
	c, err := proxy.Dial(dir)
	return c, stopped(id, err)
}

func (a *app) ask(c *proxy.Conn, id string, req *proxy.Request) (*proxy.Response, error) {
	resp, err := c.CallInTime(req)
	return resp, stopped(id, err)
}

// stopped says of which container the proxy is gone.
func stopped(id string, err error) error {
	if errors.Is(err, state.ErrGone) {
		return fmt.Errorf("container %q is stopped: %w", id, state.ErrGone)
	}
	return err
}
