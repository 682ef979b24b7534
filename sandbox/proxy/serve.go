package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"kata/jail"
)

// The descriptors that the proxy inherits: the connection on which it is told
// what to create, and its listening socket.
const (
	controlFD = 3
	listenFD  = 4
	networkFD = 5 // the network namespace, if the request says that there is one
)

// lingerTime is how long an ended sandbox waits for somebody to ask how it ended.
const lingerTime = 2 * time.Second

// Serve is the life of a proxy: it is told what to create, creates it, and serves
// until its containers have ended. Or a proxy of the pool does that, and this one only
// until the container is created. The error has been reported to the creator too.
func Serve(root, id string) error {
	signal.Ignore(unix.SIGHUP, unix.SIGPIPE, unix.SIGINT, unix.SIGTERM)
	if err := unix.CloseRange(controlFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close_range: %w", err)
	}
	e, err := newEntrance([]int{controlFD, listenFD})
	if err != nil {
		return err
	}
	e.root, e.id = root, id
	control, err := e.conn()
	if err != nil {
		return err
	}
	var req Request
	err = control.receive(&req)
	control.Close() // the entrance has it
	if err != nil || req.Create == nil {
		return errors.New("nothing to create")
	}
	if req.Create.Network {
		e.network = os.NewFile(networkFD, "of the container")
	}
	return e.serve(req.Create, nil, func() {})
}

// serve creates a container, with a machine of the pool if there is one, and serves
// until the sandbox is over. It calls done when the container is made, or is not.
func (e *entrance) serve(req *CreateRequest, w *waiting, done func()) error {
	control, err := e.conn()
	if err != nil {
		return err
	}
	o, created, err := e.boot(req, w)
	switch {
	case errors.Is(err, errHanded):
		return nil
	case err != nil:
		_ = control.send(&Response{Error: failure(err)})
		return err
	}
	p := &pod{sb: o.sb, members: map[string]*member{}, over: make(chan struct{})}
	defer p.end()
	if err := control.send(&Response{Created: created}); err != nil {
		return err
	}
	done()
	l, err := net.FileListener(e.listener)
	e.close()
	if err != nil {
		return err
	}
	defer l.Close()
	if err := p.enter(o.id); err != nil {
		return err
	}
	p.sandbox.ID, p.sandbox.CgroupDirs = o.id, o.sb.CgroupDirs()
	go p.follow(o, l.(*net.UnixListener), control)
	<-p.over
	return nil
}

// linger lets the first process' waiter learn its end, and the streams run dry:
// nothing that was written is lost because its reader is slow.
func (o *owner) linger() {
	p, err := o.process("")
	if err != nil {
		return
	}
	select {
	case <-p.waited:
	case <-o.destroy:
		return
	case <-time.After(lingerTime):
	}
	dry := make(chan struct{})
	go func() { o.last.Wait(); close(dry) }()
	select {
	case <-dry:
	case <-o.destroy:
	}
}

// listen serves the container's socket until it is closed.
func (p *pod) listen(o *owner, l *net.UnixListener) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return // the container is gone, or the proxy is ending
		}
		go p.answer(o, NewConn(c))
	}
}

func (p *pod) answer(o *owner, c *Conn) {
	defer c.Close()
	watches := false
	for {
		var req Request
		if err := c.receive(&req); err != nil {
			if !errors.Is(err, io.EOF) {
				_ = c.send(&Response{Error: failure(err)})
			}
			return
		}
		switch req.Op {
		case Wait:
			o.wait(c, &req)
			return
		case Stdio:
			o.stdio(c, &req)
			return
		case Join:
			p.join(c, req.Create)
			return
		case Destroy:
			_ = c.send(&Response{Others: p.destroy(o)})
			o.gone.Do(func() { close(o.destroy) })
			return
		case Stats:
			if !watches {
				watches = true
				defer o.watch()()
			}
		}
		if o.reply(c, &req) != nil {
			return
		}
	}
}

// watch makes the proxy stay for who has asked for statistics until that connection
// closes, so that the last word on a container that ends between two questions is
// heard; but not for longer than a waiter would have.
func (o *owner) watch() (end func()) {
	o.last.Add(1)
	over := make(chan struct{})
	go func() {
		defer o.last.Done()
		select {
		case <-over:
			return
		case <-o.ended:
		}
		select {
		case <-over:
		case <-time.After(lingerTime):
		}
	}()
	return func() { close(over) }
}

// reply carries a request out; the proxy does not end in between.
func (o *owner) reply(c *Conn, req *Request) error {
	o.last.Add(1)
	defer o.last.Done()
	resp, err := o.answer(req)
	if err != nil {
		resp = &Response{Error: failure(err)}
	}
	return c.send(resp)
}

// Hook must be called first thing in main: it takes over when the executable was
// started as the first process of a jail.
func Hook() {
	if len(os.Args) > 0 && os.Args[0] == jail.InitName {
		jail.Init()
	}
}
