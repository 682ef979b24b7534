package link

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// Devices are the network devices that the host's interfaces are connected to.
type Devices struct {
	mu    sync.Mutex
	ns    *os.File           // the network namespace they are in; nil is the guest's own
	known map[string]*device // by the hardware address that they started with
}

// device is one of them, as it was made last.
type device struct {
	index    int
	current  api.InterfaceRequest
	verified int // descriptor of the attachment, see trust
}

// Configure makes a device what the request says. Errors: api.Error for a request
// that makes no sense.
func (ds *Devices) Configure(r *api.InterfaceRequest) error {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	d, err := ds.await(r.Device)
	if err != nil {
		return err
	}
	if r.Gone {
		// Its name may be wanted again.
		r = &api.InterfaceRequest{Device: r.Device, Gone: true, Name: "gone" + strconv.Itoa(d.index)}
	}
	if err := ds.inside(func(c *conn) error { return d.configure(c, r) }); err != nil {
		return fmt.Errorf("network device for %s: %w", r.Name, err)
	}
	d.current = *r
	return nil
}

// How long a device that the machine has just got may take to be there.
const (
	deviceTime = 5 * time.Second
	devicePoll = 5 * time.Millisecond
)

// await is find for a device that may be about to come.
func (ds *Devices) await(mac []byte) (*device, error) {
	for begin := time.Now(); ; time.Sleep(devicePoll) {
		d, err := ds.find(mac)
		if _, none := errors.AsType[*api.Error](err); !none || time.Since(begin) > deviceTime {
			return d, err
		}
	}
}

// find looks a device up by the hardware address that it started with.
func (ds *Devices) find(mac []byte) (*device, error) {
	if d := ds.known[string(mac)]; d != nil {
		return d, nil
	}
	want := strings.ReplaceAll(fmt.Sprintf("% x", mac), " ", ":")
	files, err := filepath.Glob("/sys/class/net/*/address")
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil || strings.TrimSpace(string(b)) != want {
			continue
		}
		b, err = os.ReadFile(filepath.Dir(f) + "/ifindex")
		if err != nil {
			return nil, err
		}
		index, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			return nil, err
		}
		if ds.known == nil {
			ds.known = map[string]*device{}
		}
		d := &device{index: index, verified: -1}
		if err := ds.fetch(d); err != nil {
			return nil, err
		}
		ds.known[string(mac)] = d
		return d, nil
	}
	return nil, &api.Error{Code: api.CodeNotFound, Message: "no network device has the hardware address " + want}
}

func (d *device) configure(c *conn, r *api.InterfaceRequest) error {
	old := &d.current
	if old.Up && !r.Up {
		if err := c.call(unix.RTM_NEWLINK, 0, ifinfo(d.index, 0, unix.IFF_UP)); err != nil {
			return fmt.Errorf("set down: %w", err)
		}
	}
	if err := d.properties(c, r); err != nil {
		return err
	}
	if d.verified < 0 && !r.Gone {
		fd, err := trust(d.index)
		if err != nil {
			return fmt.Errorf("checksums: %w", err)
		}
		d.verified = fd
	}
	if r.Up && !old.Up {
		if err := c.call(unix.RTM_NEWLINK, 0, ifinfo(d.index, unix.IFF_UP, unix.IFF_UP)); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
	}
	if err := replace(c, old.Addresses, r.Addresses, d.address); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	if !r.Up { // what follows goes with the link
		return nil
	}
	if err := replace(c, old.Routes, r.Routes, d.route); err != nil {
		return fmt.Errorf("route: %w", err)
	}
	if err := replace(c, old.Neighbours, r.Neighbours, d.neighbour); err != nil {
		return fmt.Errorf("neighbour: %w", err)
	}
	return nil
}

// addrGenModeNone is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
const addrGenModeNone = 1

// properties sets name, hardware address and MTU, as far as they differ.
func (d *device) properties(c *conn, r *api.InterfaceRequest) error {
	m := ifinfo(d.index, 0, 0)
	if r.Name != d.current.Name {
		m.attr(unix.IFLA_IFNAME, append([]byte(r.Name), 0))
	}
	if !bytes.Equal(r.MAC, d.current.MAC) {
		m.attr(unix.IFLA_ADDRESS, r.MAC)
	}
	if r.MTU != d.current.MTU {
		m.number(unix.IFLA_MTU, r.MTU)
	}
	if d.current.Name == "" {
		// No addresses but those of the host's interface, not even link-local ones.
		var mode, inet6 message
		mode.attr(unix.IFLA_INET6_ADDR_GEN_MODE, []byte{addrGenModeNone})
		inet6.attr(unix.AF_INET6, mode)
		m.attr(unix.IFLA_AF_SPEC, inet6)
	}
	if len(m) == unix.SizeofIfInfomsg {
		return nil
	}
	if err := c.call(unix.RTM_NEWLINK, 0, m); err != nil {
		return fmt.Errorf("set name %q, address %x, MTU %d: %w", r.Name, r.MAC, r.MTU, err)
	}
	return nil
}

// replace takes back what is in old only, and adds all of next: the kernel may have
// dropped some of it together with something else.
func replace[T any](c *conn, old, next []T, message func(T) (add, remove int, m message)) error {
	for _, o := range old {
		if contains(next, o) {
			continue
		}
		_, remove, m := message(o)
		if err := c.call(remove, 0, m); err != nil && !gone(err) {
			return err
		}
	}
	for _, n := range next {
		add, _, m := message(n)
		if err := c.call(add, unix.NLM_F_CREATE|unix.NLM_F_EXCL, m); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("%+v: %w", n, err)
		}
	}
	return nil
}

func contains[T any](list []T, v T) bool {
	for _, x := range list {
		if reflect.DeepEqual(x, v) {
			return true
		}
	}
	return false
}

// gone says that there was nothing to remove.
func gone(err error) bool {
	return errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENETDOWN)
}
