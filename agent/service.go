package agent

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"kata/agent/api"
	"kata/agent/container"
	"kata/agent/names"
)

func (a *agent) handlers() map[string]api.Handler {
	return map[string]api.Handler{
		"Hello":      api.Method(a.hello),
		"Sandbox":    api.Method(a.sandbox),
		"Interface":  api.Method(a.iface),
		"Nameserver": api.Method(a.nameserver),
		"Disks":      api.Method(a.disks),
		"Memory":     api.Method(a.memory),
		"RemoveDisk": api.Method(a.removeDisk),
		"Processors": api.Method(a.processors),
		"Create":     api.Method(a.create),
		"Start":      api.Method(a.start),
		"Exec":       api.Method(a.exec),
		"Signal":     api.Method(a.signal),
		"Wait":       api.Method(a.wait),
		"Resize":     api.Method(a.resize),
		"Processes":  api.Method(a.processes),
		"Freeze":     api.Method(a.freeze),
		"Update":     api.Method(a.update),
		"Stats":      api.Method(a.stats),
		"Remove":     api.Method(a.remove),
		"Shutdown":   api.Method(a.shutdown),
	}
}

func (a *agent) hello(req *api.HelloRequest) (*api.HelloResponse, error) {
	if req.Version != api.Version {
		return nil, &api.Error{Code: api.CodePrecondition,
			Message: fmt.Sprintf("the host speaks version %d of the agent's protocol, the agent %d", req.Version, api.Version)}
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, err
	}
	resp := &api.HelloResponse{Version: api.Version, UptimeNs: uint64(a.uptime), KernelRelease: unix.ByteSliceToString(uts.Release[:])}
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err == nil {
		resp.MemoryKiB = si.Totalram * uint64(si.Unit) / 1024
	}
	// A file of /proc would say what it is now, and be much to translate for an emulator.
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err == nil {
		resp.RSSKiB = uint64(ru.Maxrss)
	}
	return resp, nil
}

// sandbox prepares the guest for its containers.
func (a *agent) sandbox(req *api.SandboxRequest) (*api.Empty, error) {
	<-a.ready
	if a.bootErr != nil {
		return nil, a.bootErr
	}
	if req.TimeNs != 0 {
		ts := unix.NsecToTimespec(req.TimeNs)
		if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
			return nil, fmt.Errorf("clock: %w", err)
		}
	}
	if len(req.Entropy) > 0 {
		if err := addEntropy(req.Entropy); err != nil {
			return nil, fmt.Errorf("entropy: %w", err)
		}
	}
	if err := unix.Sethostname([]byte(req.Hostname)); err != nil {
		return nil, fmt.Errorf("host name: %w", err)
	}
	if m := req.Share; m != nil {
		if err := a.mountShare(m, req.ShareLate); err != nil {
			return nil, fmt.Errorf("share: %w", err)
		}
	}
	return &api.Empty{}, nil
}

// How the device of a share is waited for that comes while the machine runs.
const (
	shareTime = 10 * time.Second
	sharePoll = 2 * time.Millisecond
)

// mountShare mounts what the host shares. A file system whose device the kernel does not
// know is EINVAL.
func (a *agent) mountShare(m *api.Mount, late bool) error {
	for begin := time.Now(); ; time.Sleep(sharePoll) {
		if late && a.rescan != "" {
			if err := os.WriteFile(a.rescan, []byte("1"), 0); err != nil {
				return err
			}
		}
		err := unix.Mount(m.Source, api.ShareDir, m.Type, uintptr(m.Flags), m.Data)
		if !late || !errors.Is(err, unix.EINVAL) {
			return err
		}
		if time.Since(begin) > shareTime {
			return fmt.Errorf("no device for it within %v: %w", shareTime, err)
		}
	}
}

// addEntropy credits the guest's random generator with what the host gave, and
// begins a new sequence with it (random(4), RNDADDENTROPY and RNDRESEEDCRNG).
func addEntropy(b []byte) error {
	f, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info := make([]byte, 8, 8+len(b))
	*(*int32)(unsafe.Pointer(&info[0])) = int32(8 * len(b))
	*(*int32)(unsafe.Pointer(&info[4])) = int32(len(b))
	info = append(info, b...)
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&info[0]))); e != 0 {
		return e
	}
	// What was random in a saved machine is the same in all that start from it.
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.RNDRESEEDCRNG, 0); e != 0 {
		return fmt.Errorf("reseed: %w", e)
	}
	return nil
}

// iface makes a network device what an interface of the host is.
func (a *agent) iface(req *api.InterfaceRequest) (*api.Empty, error) {
	<-a.ready
	if a.bootErr != nil {
		return nil, a.bootErr
	}
	return &api.Empty{}, a.devices.Configure(req)
}

// nameserver answers as the name server of an address with what the host says.
func (a *agent) nameserver(req *api.NameserverRequest) (*api.Empty, error) {
	st, err := a.stream(api.NameserverStream(req.Address))
	if err != nil {
		return nil, err
	}
	s, err := names.Listen(req.Address)
	if err != nil {
		st.Close()
		return nil, fmt.Errorf("name server: %w", err)
	}
	go s.Serve(st)
	return &api.Empty{}, nil
}

func (a *agent) create(req *api.CreateRequest) (*api.StartResponse, error) {
	if err := api.ValidName(req.ID); err != nil {
		return nil, &api.Error{Code: api.CodeInvalid, Message: err.Error()}
	}
	a.mu.Lock()
	_, exists := a.containers[req.ID]
	if !exists {
		a.containers[req.ID] = nil // taken
	}
	a.mu.Unlock()
	if exists {
		return nil, &api.Error{Code: api.CodeAlreadyExists, Message: fmt.Sprintf("container %q exists", req.ID)}
	}
	c, err := container.Create(a.reaper, req, a.processStreams(req.ID, ""), a.container, a.devices.Namespace())
	if err == nil && req.Namespaces&unix.CLONE_NEWNET != 0 {
		if err = a.giveNetwork(c); err != nil {
			c.Remove()
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		delete(a.containers, req.ID)
		return nil, err
	}
	a.containers[req.ID] = c
	return &api.StartResponse{}, nil
}

// giveNetwork moves the network of the sandbox into the container's namespace.
func (a *agent) giveNetwork(c *container.Container) error {
	ns, err := c.Network()
	if err == nil {
		err = a.devices.MoveTo(ns)
	}
	if err != nil {
		return fmt.Errorf("network namespace of the container: %w", err)
	}
	return nil
}

func (a *agent) container(id string) (*container.Container, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.containers[id]; c != nil {
		return c, nil
	}
	return nil, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("no container %q", id)}
}

func (a *agent) start(req *api.ProcessRequest) (*api.Empty, error) {
	c, err := a.container(req.ID)
	if err != nil {
		return nil, err
	}
	return &api.Empty{}, c.Start()
}

func (a *agent) exec(req *api.ExecRequest) (*api.StartResponse, error) {
	c, err := a.container(req.ID)
	if err != nil {
		return nil, err
	}
	pid, err := c.Exec(req, a.processStreams(req.ID, req.Exec))
	return &api.StartResponse{PID: uint32(pid)}, err
}

func (a *agent) signal(req *api.SignalRequest) (*api.Empty, error) {
	c, err := a.container(req.ID)
	if err != nil {
		return nil, err
	}
	return &api.Empty{}, c.Signal(req)
}

func (a *agent) wait(req *api.ProcessRequest) (*api.WaitResponse, error) {
	c, err := a.container(req.ID)
	if err != nil {
		return nil, err
	}
	return c.Wait(req.Exec)
}

func (a *agent) resize(req *api.ResizeRequest) (*api.Empty, error) {
	c, err := a.container(req.ID)
	if err != nil {
		return nil, err
	}
	return &api.Empty{}, c.Resize(req)
}

func (a *agent) processes(req *api.ProcessRequest) (*api.ProcessesResponse, error) {
	c, err := a.container(req.ID)
	if err != nil {
		return nil, err
	}
	return c.Processes(), nil
}

func (a *agent) remove(req *api.ProcessRequest) (*api.Empty, error) {
	c, err := a.container(req.ID)
	if err != nil {
		return nil, err
	}
	c.Remove()
	a.mu.Lock()
	delete(a.containers, req.ID)
	a.mu.Unlock()
	return &api.Empty{}, nil
}

// shutdown ends the guest: everything is written out first. The answer usually
// arrives before the power goes.
func (a *agent) shutdown(*api.Empty) (*api.Empty, error) {
	unix.Sync()
	go func() {
		time.Sleep(5 * time.Millisecond)
		PowerOff()
	}()
	return &api.Empty{}, nil
}

// PowerOff ends the machine.
func PowerOff() { _ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF) }
