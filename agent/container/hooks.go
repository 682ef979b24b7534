package container

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// runHooks runs the startContainer hooks: in the container's namespaces, as its
// process' user, before that process. The caller holds c.mu, which is released
// meanwhile: a hook may take long, and the container may be killed. If one fails,
// the container has ended.
func (c *Container) runHooks() error {
	if len(c.hooks) == 0 {
		return nil
	}
	c.state = starting
	c.mu.Unlock()
	var err error
	for i := range c.hooks {
		if err = c.runHook(&c.hooks[i]); err != nil {
			err = fmt.Errorf("error running startContainer hook #%d: %w", i, err)
			break
		}
	}
	if err != nil {
		_ = c.init.signal(unix.SIGKILL)
		<-c.init.exited
	}
	c.mu.Lock()
	if err == nil && c.state != starting {
		err = errors.New("the container was killed while its startContainer hooks ran")
	}
	return err
}

// maxHookOutput is how much of what a hook printed is in the error, in bytes.
const maxHookOutput = 4 << 10

// runHook runs one hook. What it prints goes to memory of the container.
func (c *Container) runHook(h *api.Hook) error {
	spec := *c.init.spec
	spec.Args, spec.Terminal = h.Args, false
	if !h.InheritEnv {
		spec.Env = h.Env
	}
	out, err := memfd(nil)
	if err != nil {
		return err
	}
	defer unix.Close(out)
	p := &process{spec: &spec, exited: make(chan struct{}), stdio: &stdio{child: []int{-1, -1, -1}}}
	child := p.stdio.child
	child[0], err = memfd(c.hookState)
	for fd := 1; fd < 3 && err == nil; fd++ {
		child[fd], err = unix.FcntlInt(uintptr(out), unix.F_DUPFD_CLOEXEC, 0)
	}
	if err == nil {
		err = inThread(func() error { return c.hook(p, h.Path) })
	}
	if err != nil {
		p.stdio.started() // closes the descriptors
		return err
	}
	if err := p.adjust(&c.fence); err != nil {
		_ = p.signal(unix.SIGKILL)
		p.stdio.started()
		p.gone()
		return err
	}
	if err := p.run(); err != nil {
		p.gone()
		return err
	}
	err = p.wait(time.Duration(h.TimeoutSeconds) * time.Second)
	p.gone()
	if err == nil && p.status != 0 {
		buf := make([]byte, maxHookOutput)
		n, _ := unix.Pread(out, buf, 0) // what cannot be read was not printed
		err = fmt.Errorf("exit status %d, output: %s", p.status, buf[:max(n, 0)])
	}
	return err
}

// hook is exec with what is open already, on a thread of its own.
func (c *Container) hook(p *process, path string) error {
	if err := c.enter(); err != nil {
		return err
	}
	return c.launch(p, path, c.cgroup.fd)
}

// wait kills the process when patience, if there is one, is at its end.
func (p *process) wait(patience time.Duration) error {
	var late <-chan time.Time
	if patience > 0 {
		late = time.After(patience)
	}
	select {
	case <-p.exited:
		return nil
	case <-late:
		_ = p.signal(unix.SIGKILL)
		return fmt.Errorf("hook ran past specified timeout of %.1fs", patience.Seconds())
	}
}

// memfd is an anonymous file, open at its beginning.
func memfd(content []byte) (int, error) {
	fd, err := unix.MemfdCreate("hook", unix.MFD_CLOEXEC)
	if err != nil {
		return -1, err
	}
	if _, err := unix.Pwrite(fd, content, 0); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
