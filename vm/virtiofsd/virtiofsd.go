// Package virtiofsd runs the daemon that shows host files to a guest by virtiofs. The
// monitor passes the guest's requests to it over a socket (vhost-user), and lets it into
// the guest's memory. It has a jail of its own, in which the shared files are and the
// monitor is not.
//
// The daemon is the host's: QEMU's, which came with it up to version 7.2, or the one in
// Rust that took its place. The package does not know which monitor asks for it.
package virtiofsd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"kata/jail"
	"kata/vm"
)

// FSType is what the guest mounts the shares as.
const FSType = "virtiofs"

// Paths in the jail.
const (
	programPath = "/virtiofsd"
	sharePath   = "/share"
	processes   = "/processes"
	fileMax     = "/proc/sys/fs/file-max"
	nrOpen      = "/proc/sys/fs/nr_open"
)

// listenerFD is the daemon's socket, after its standard I/O.
const listenerFD = 3

// capabilities over files whose owner the user namespace maps, and those to make files
// as the guest's user would (SETUID, SETGID). Once it has made the shares its root, the
// daemon drops the last two.
var capabilities = []int{unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_SETFCAP,
	unix.CAP_SETGID, unix.CAP_SETUID, unix.CAP_SETPCAP, unix.CAP_SYS_CHROOT}

// maxFiles bounds its descriptors, of which each file that the guest uses takes one. A lower hard limit of the caller's is kept.
const maxFiles = 1 << 20

// Daemon is a running one. It ends when the monitor hangs up.
type Daemon struct {
	*jail.Process
	words  *vm.ConsoleTail
	silent chan struct{} // closed when nothing more is written
}

// Start starts the daemon for the machine s, and returns the monitor's end of the
// connection, which the caller closes once the monitor has it.
func Start(p *Program, s vm.Spec) (_ *Daemon, monitor *os.File, err error) {
	listener, monitor, err := connection(s.Dir)
	if err != nil {
		return nil, nil, fmt.Errorf("virtiofsd: socket: %w", err)
	}
	defer listener.Close()
	d := &Daemon{words: &vm.ConsoleTail{}, silent: make(chan struct{})}
	if err := d.start(p, s, listener); err != nil {
		monitor.Close()
		return nil, nil, fmt.Errorf("virtiofsd: %w", err)
	}
	return d, monitor, nil
}

func (d *Daemon) start(p *Program, s vm.Spec, listener *os.File) error {
	stdin, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stdin.Close()
	w.Close() // nothing comes
	r, output, err := os.Pipe()
	if err != nil {
		return err
	}
	defer output.Close()
	go func() {
		_, _ = io.Copy(d.words, r) // ends with the daemon
		r.Close()
		close(d.silent)
	}()
	cfg := p.jailConfig(s)
	cfg.Files = []*os.File{stdin, output, output, listener}
	d.Process, err = jail.Start(cfg)
	return err
}

func (p *Program) jailConfig(s vm.Spec) *jail.Config {
	binds := []jail.Bind{{Source: p.Path, Target: programPath, ReadOnly: true},
		{Source: fileMax, Target: fileMax, ReadOnly: true}, {Source: nrOpen, Target: nrOpen, ReadOnly: true}}
	for _, l := range p.libraries {
		binds = append(binds, jail.Bind{Source: l, Target: l, ReadOnly: true})
	}
	for _, sh := range s.Shares {
		binds = append(binds, sh.Bind(sharePath))
	}
	return &jail.Config{
		Dir: s.Dir, Binds: binds, Dirs: []string{sharePath},
		// It opens files anew, and changes attributes, by /proc/self/fd. In /proc itself is
		// only what one or the other insists on, whatever it is told about its descriptors.
		Proc: processes, Links: map[string]string{"/proc/self": processes + "/self"},
		Args: append([]string{programPath}, p.arguments()...),
		CPUs: s.CPUs, Cgroup: s.Cgroup, Capabilities: capabilities, Syscalls: syscalls, Ioctls: ioctls,
		Rlimits: []jail.Rlimit{{Resource: unix.RLIMIT_CORE, Value: 0}, {Resource: unix.RLIMIT_NOFILE, Value: maxFiles}},
	}
}

// connection makes the daemon's listening socket and a connection to it, which is the
// only one: the socket's name, in dir, is gone again.
func connection(dir string) (listener, monitor *os.File, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	defer d.Close()
	// A socket's address has room for a short name only.
	name := fmt.Sprintf("/proc/self/fd/%d/virtiofs", d.Fd())
	address := &unix.SockaddrUnix{Name: name}
	listener, err = socket(func(fd int) error {
		if err := unix.Bind(fd, address); err != nil {
			return err
		}
		return unix.Listen(fd, 1)
	})
	if err != nil {
		return nil, nil, err
	}
	defer os.Remove(name)
	if monitor, err = socket(func(fd int) error { return unix.Connect(fd, address) }); err != nil {
		listener.Close()
		return nil, nil, err
	}
	return listener, monitor, nil
}

// socket makes one and prepares it.
func socket(prepare func(fd int) error) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "virtiofs")
	if err := prepare(fd); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// AddShare lets one more host file or directory in.
func (d *Daemon) AddShare(s vm.Share) error { return d.Attach(s.Bind(sharePath)) }

// RemoveShare takes it away again.
func (d *Daemon) RemoveShare(name string) error { return d.Detach(sharePath + "/" + name) }

// lastWords is how long an ended daemon's last line may take to be read.
const lastWords = time.Second

// Err says how the daemon ended and what it said last, in one line, once Done is closed.
// It is never nil: while a machine runs its daemon does, too.
func (d *Daemon) Err() error {
	select {
	case <-d.silent:
	case <-time.After(lastWords):
	}
	how := errors.New("exit code 0")
	if err := d.Process.Err(); err != nil {
		how = err
	}
	if line := d.words.LastLine(); line != "" {
		return fmt.Errorf("virtiofsd ended: %w (it said %q)", how, line)
	}
	return fmt.Errorf("virtiofsd ended: %w", how)
}
