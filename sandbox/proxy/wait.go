package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kata/sandbox"
)

// watchTime is how often a waiting proxy looks whether its machine is still wanted.
const watchTime = time.Second

// Standby is the life of a proxy of the pool: it starts a machine, waits until that is
// claimed, and is then the proxy of a sandbox. It ends at once when its kind has as many
// as the configuration wants, and while it waits when one of the files changes that it or
// its machine was made from, or with SIGTERM.
func Standby(root, text string) error {
	term := make(chan os.Signal, 1)
	signal.Notify(term, unix.SIGTERM)
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	w, err := o.start(root)
	if err != nil || w == nil {
		return err
	}
	e, req, conn := w.claimed(term)
	w.slot.leave()
	if e == nil {
		w.machine.Stop()
		return nil
	}
	signal.Ignore(unix.SIGHUP, unix.SIGPIPE, unix.SIGINT, unix.SIGTERM)
	e.root = root
	made := standIn(conn)
	defer made()
	return e.serve(req, w, made)
}

// standIn ties this process to the one that has claimed it, which the container's record
// names until the container is made: when that is killed before, this ends as well.
func standIn(conn *net.UnixConn) (made func()) {
	var over atomic.Bool
	go func() {
		_, _ = conn.Read(make([]byte, 1))
		if !over.Load() {
			os.Exit(1)
		}
	}()
	return func() {
		over.Store(true)
		conn.Close()
	}
}

// boot makes a sandbox of a machine: this one if it is of the right kind, or a new one.
func (w *waiting) boot(kind *order, o *sandbox.Options) (*sandbox.Sandbox, error) {
	if w != nil && kind != nil && *kind == *w.order {
		return w.machine.Claim(context.Background(), *o)
	}
	if w != nil { // what was claimed has changed in between
		w.machine.Stop()
	}
	return sandbox.Boot(context.Background(), *o)
}

// waiting is a machine of the pool.
type waiting struct {
	order   *order
	slot    *slot
	machine *sandbox.Waiting
	files   []string
	before  []fingerprint
}

// start starts the machine, if there is a place for one more.
func (o *order) start(root string) (_ *waiting, err error) {
	cfg, driver, caps, err := choose(&o.Choice, o.Arch)
	if err != nil {
		return nil, err
	}
	m, err := machineFor(cfg, driver, caps, o.MemoryMiB, o.CPUs)
	if err != nil {
		return nil, err
	}
	w := &waiting{order: o}
	for i := 0; i < cfg.PoolSize && w.slot == nil; i++ {
		if w.slot, err = takeSlot(o.dir(root), i); err != nil {
			return nil, err
		}
	}
	if w.slot == nil {
		return nil, nil
	}
	defer func() {
		if err != nil {
			w.slot.leave()
		}
	}()
	if w.files, err = inputs(cfg, m); err != nil {
		return nil, err
	}
	if w.before, err = fingerprints(w.files); err != nil {
		return nil, err
	}
	if err := os.Mkdir(w.slot.machine(), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	m.Name, m.Dir, m.Arch, m.NICs = poolName, w.slot.machine(), o.Arch, blank(o.NICs)
	opts := sandbox.Options{Driver: driver, Capabilities: caps, Machine: m, CgroupPath: w.slot.cgroup(),
		BootTimeout: bootTimeout(cfg, caps)}
	opts.Limits.MemoryBytes, opts.Limits.Pids = sandbox.MemoryLimit(m.MemoryMiB, caps), hostPids
	w.machine, err = sandbox.Wait(context.Background(), opts)
	return w, err
}

// claimed waits until somebody claims the machine: then there are an entrance and a
// request. The connection breaks when the other proxy is killed.
func (w *waiting) claimed(term <-chan os.Signal) (*entrance, *CreateRequest, *net.UnixConn) {
	_ = os.Remove(w.slot.socket())
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: w.slot.socket(), Net: "unix"})
	if err != nil {
		return nil, nil, nil
	}
	defer l.Close()
	conns, over := make(chan *net.UnixConn), make(chan struct{})
	defer close(over)
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				close(conns)
				return
			}
			select {
			case conns <- c:
			case <-over:
				c.Close()
			}
		}
	}()
	tick := time.NewTicker(watchTime)
	defer tick.Stop()
	for {
		select {
		case c, ok := <-conns:
			if !ok {
				return nil, nil, nil
			}
			if e, req, err := receiveClaim(c); err == nil {
				return e, req, c
			}
			c.Close()
		case <-tick.C:
			if now, err := fingerprints(w.files); err != nil || !slices.Equal(now, w.before) || w.machine.Outdated() != nil {
				return nil, nil, nil
			}
		case <-w.machine.Done():
			return nil, nil, nil
		case <-term:
			return nil, nil, nil
		}
	}
}

// maxClaim bounds a claim, in bytes: names and paths.
const maxClaim = 64 << 10

func receiveClaim(c *net.UnixConn) (*entrance, *CreateRequest, error) {
	if err := c.SetDeadline(time.Now().Add(acceptTime)); err != nil {
		return nil, nil, err
	}
	b, oob := make([]byte, maxClaim), make([]byte, unix.CmsgSpace(4*maxEntrance))
	n, oobn, _, _, err := c.ReadMsgUnix(b, oob)
	if err != nil {
		return nil, nil, err
	}
	var fds []int
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	for i := 0; err == nil && i < len(messages); i++ {
		var got []int
		got, err = unix.ParseUnixRights(&messages[i])
		fds = append(fds, got...)
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	var req claimRequest
	if err == nil {
		err = json.Unmarshal(b[:n], &req)
	}
	if want := 2; err == nil && len(fds) != want && len(fds) != want+1 {
		err = fmt.Errorf("%d descriptors", len(fds))
	}
	if err != nil {
		for _, fd := range fds {
			unix.Close(fd)
		}
		return nil, nil, err
	}
	e, err := newEntrance(fds)
	if err != nil {
		return nil, nil, err
	}
	e.id = req.ID
	if _, err := c.Write([]byte(accepted)); err != nil {
		e.close()
		return nil, nil, err
	}
	return e, &req.Create, c.SetDeadline(time.Time{})
}
