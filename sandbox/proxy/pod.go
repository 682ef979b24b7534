package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"golang.org/x/sys/unix"

	"kata/oci"
	"kata/sandbox"
	"kata/sandbox/compile"
	"kata/sandbox/state"
)

// pod is the sandbox with its containers. Each has a socket of its own in its own
// state directory, so that a request need not say whom it is for, and so that the
// directory of one can go while others run. The pod is over when no container of it
// runs any more: those that have ended stay, and can be asked, until then.
type pod struct {
	sb      *sandbox.Sandbox
	sandbox struct { // what the records of later containers have from the first
		ID         string
		CgroupDirs []string
	}

	mu      sync.Mutex
	members map[string]*member
	live    int
	over    chan struct{} // closed when live is 0
}

// member is a container's place in the pod; live until it has ended, and those who
// wait for it have been told.
type member struct{ live bool }

var errOver = errors.New("the sandbox has ended")

// enter keeps a place, and with it the sandbox.
func (p *pod) enter(id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.over:
		return errOver
	default:
	}
	if p.members[id] != nil {
		return fmt.Errorf("container %q is in the sandbox already", id)
	}
	p.members[id] = &member{live: true}
	p.live++
	return nil
}

// leave ends the life of a member; the last one's is the pod's. With forget the
// place is free again.
func (p *pod) leave(id string, forget bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.members[id]
	if m == nil {
		return
	}
	if m.live {
		m.live = false
		p.live--
	}
	if forget {
		delete(p.members, id)
	}
	select {
	case <-p.over:
	default:
		if p.live == 0 {
			close(p.over)
		}
	}
}

// retire takes a member that is being destroyed out of the count; the pod is over at
// the earliest when it leaves. It returns how many live on.
func (p *pod) retire(id string) (others int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.members[id]; m != nil && m.live {
		m.live = false
		p.live--
	}
	return p.live
}

// follow answers the commands for a container, and goes with it through its life.
// The creator acknowledges on control when its record is written; if it dies
// before, nobody knows the container, and it is destroyed.
func (p *pod) follow(o *owner, l *net.UnixListener, control *Conn) {
	defer l.Close()
	go p.listen(o, l)
	var req Request
	err := control.receive(&req)
	control.Close()
	if err != nil {
		p.destroy(o)
		p.leave(o.id, true)
		return
	}
	select {
	case <-o.destroy:
	case <-o.ended:
		o.linger()
		p.leave(o.id, false)
		<-o.destroy // it can be asked as long as the pod lasts
	}
	p.leave(o.id, true)
}

// destroy ends a container and frees what it has in the machine, or ends the machine
// when no other container needs it. It returns how many do.
func (p *pod) destroy(o *owner) (others int) {
	if others = p.retire(o.id); others == 0 {
		o.flush(destroyTime / 2)
		p.end()
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), destroyTime/2)
	defer cancel()
	_ = p.sb.Signal(ctx, o.id, "", int(unix.SIGKILL), true) // it may have ended
	select {
	case <-o.ended:
	case <-ctx.Done():
	}
	_ = p.sb.Remove(ctx, o.id) // what the agent cannot free goes with the machine
	p.sb.RemoveShares(o.shares)
	p.giveBack(ctx, o.id, o.serials)
	return others
}

// join makes one more container; c is then the connection to its creator.
func (p *pod) join(c *Conn, req *CreateRequest) {
	o, l, info, err := p.create(req)
	if err != nil {
		_ = c.send(&Response{Error: failure(err)})
		return
	}
	info.Record.Sandbox, info.Record.CgroupDirs = p.sandbox.ID, p.sandbox.CgroupDirs
	_ = c.send(&Response{Created: info}) // a creator that is gone does not acknowledge
	p.follow(o, l, c)
}

func (p *pod) create(req *CreateRequest) (_ *owner, _ *net.UnixListener, _ *CreatedInfo, err error) {
	if req == nil {
		return nil, nil, nil, errors.New("nothing to create")
	}
	if err := p.enter(req.ID); err != nil {
		return nil, nil, nil, err
	}
	defer func() {
		if err != nil {
			p.leave(req.ID, true)
		}
	}()
	b, err := oci.Load(req.Bundle)
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := compile.NewIn(req.ID, b, req.Joins)
	if err == nil {
		err = oci.CheckArchitecture(b.Spec, p.sb.Arch)
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", oci.ConfigName, err)
	}
	c.Request.Process.Descriptors = req.Descriptors
	if err := makeMountPoints(b); err != nil {
		return nil, nil, nil, err
	}
	l, err := state.At(req.Root, req.ID).Listen()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("socket of the container: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), createTime)
	defer cancel()
	stdio, disks, serials, err := p.admit(ctx, c)
	if err != nil {
		l.Close()
		return nil, nil, nil, err
	}
	o, info := created(b, p.sb, c, stdio)
	o.shares, o.disks, o.serials = c.Shares, disks, serials
	return o, l, info, nil
}

// admit has the machine be what a container needs that joins it, and makes the container.
func (p *pod) admit(ctx context.Context, c *compile.Container) (_ sandbox.Stdio, _ compile.Disks, serials []string, err error) {
	id := c.Request.ID
	if err := p.sb.Fit(ctx, id, demand(c.MemoryMiB, c.Limits)); err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", oci.ConfigName, tooLarge(err))
	}
	defer func() {
		if err != nil {
			p.giveBack(ctx, id, serials)
		}
	}()
	disks, serials, err := hotDisks(ctx, p.sb, c)
	if err != nil {
		return nil, nil, serials, err
	}
	stdio, err := p.sb.Join(ctx, &c.Request, c.Shares)
	return stdio, disks, serials, err
}

// giveBack takes from the machine what only one container needed. What the guest does
// not give back, the machine keeps.
func (p *pod) giveBack(ctx context.Context, id string, serials []string) {
	p.sb.RemoveDisks(ctx, serials)
	_ = p.sb.Fit(ctx, id, nil)
}
