package container

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// Stream is one direction or both of a process' standard I/O on the channel.
type Stream interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// Streams gives the streams that the host opened for a process: 0 is its input,
// 1 its output (both directions of a terminal), 2 its error output.
type Streams func(fd int) (Stream, error)

// stdio connects a process to its streams. Copying goes on until the process has
// closed its side.
type stdio struct {
	master  *os.File // of a terminal
	child   []int    // what the process gets as 0, 1, 2 and so on
	ours    []*os.File
	outputs []*output
	streams []Stream
}

// openStdio prepares the descriptors of a process; a terminal is opened in the
// calling thread's mount namespace, whose /dev/pts the container sees.
func openStdio(p *api.Process, streams Streams) (*stdio, error) {
	s := &stdio{child: make([]int, 3)}
	err := s.open(p, streams)
	if err == nil {
		err = s.openDescriptors(p, streams)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("standard i/o: %w", err)
	}
	return s, nil
}

func (s *stdio) open(p *api.Process, streams Streams) error {
	if p.Terminal {
		return s.openTerminal(p, streams)
	}
	for fd := range 3 {
		if (fd == 0 && !p.Stdin) || (fd == 2 && !p.SeparateStderr) {
			if err := s.openNull(fd); err != nil {
				return err
			}
			continue
		}
		st, err := streams(fd)
		if err != nil {
			return err
		}
		s.streams = append(s.streams, st)
		var pipe [2]int
		if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
			return err
		}
		theirs, mine := pipe[0], pipe[1]
		if fd > 0 {
			theirs, mine = pipe[1], pipe[0]
		}
		s.child[fd] = theirs
		if err := unix.Fchown(theirs, int(p.UID), int(p.GID)); err != nil {
			return err
		}
		_ = unix.SetNonblock(mine, true)
		f := os.NewFile(uintptr(mine), "stdio")
		s.ours = append(s.ours, f)
		if fd == 0 {
			go func() { copyIn(f, st); f.Close() }()
		} else {
			s.carry(st, f)
		}
	}
	return nil
}

// nullDevice is the guest's, open before there is any container: a container's own
// may be anything.
var nullDevice = sync.OnceValues(func() (int, error) { return unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0) })

func (s *stdio) openNull(fd int) error {
	null, err := nullDevice()
	if err != nil {
		return err
	}
	n, err := unix.FcntlInt(uintptr(null), unix.F_DUPFD_CLOEXEC, 0)
	s.child[fd] = n
	return err
}

func (s *stdio) openTerminal(p *api.Process, streams Streams) error {
	st, err := streams(1)
	if err != nil {
		return err
	}
	s.streams = append(s.streams, st)
	m, err := openPTMX()
	if err != nil {
		return fmt.Errorf("/dev/ptmx: %w", err)
	}
	s.master = os.NewFile(uintptr(m), "terminal")
	s.ours = append(s.ours, s.master)
	if err := unix.IoctlSetPointerInt(m, unix.TIOCSPTLCK, 0); err != nil {
		return err
	}
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(m), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return fmt.Errorf("terminal: %w", errno)
	}
	s.child = []int{int(peer), int(peer), int(peer)}
	if err := unix.Fchown(int(peer), int(p.UID), -1); err != nil {
		return err
	}
	if p.Rows > 0 {
		if err := s.resize(p.Rows, p.Columns); err != nil {
			return err
		}
	}
	go copyIn(s.master, st) // its end must not hang the terminal up
	s.carry(st, s.master)
	return nil
}

// openPTMX opens a new terminal of the container's, if that is what its /dev/ptmx is.
func openPTMX() (int, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, "/dev/ptmx", &unix.OpenHow{
		Flags: unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC | unix.O_NONBLOCK, Resolve: unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(5, 2) {
		return fd, nil
	}
	unix.Close(fd)
	return -1, errors.New("is not the device of terminals, 5:2")
}

func (s *stdio) resize(rows, columns uint32) error {
	if s.master == nil {
		return &api.Error{Code: api.CodePrecondition, Message: "the process has no terminal"}
	}
	ws := unix.Winsize{Row: uint16(rows), Col: uint16(columns)}
	rc, err := s.master.SyscallConn()
	if err != nil {
		return err
	}
	var ierr error
	if err := rc.Control(func(fd uintptr) {
		_, _, e := unix.Syscall(unix.SYS_IOCTL, fd, unix.TIOCSWINSZ, uintptr(unsafe.Pointer(&ws)))
		if e != 0 {
			ierr = e
		}
	}); err != nil {
		return err
	}
	return ierr
}

// copyIn carries the host's bytes to the process.
func copyIn(f *os.File, st Stream) {
	_, _ = io.Copy(f, struct{ io.Reader }{st}) // either side's end is the other's
}

// carry copies output to the host and then tells it the end.
func (s *stdio) carry(st Stream, f *os.File) {
	o := &output{file: f, ended: make(chan struct{})}
	s.outputs = append(s.outputs, o)
	go func() {
		defer close(o.ended)
		buf := make([]byte, 32<<10)
		for {
			n, err := o.read(buf)
			if n > 0 {
				if _, werr := st.Write(buf[:n]); werr != nil {
					f.Close() // nobody reads: the process gets SIGPIPE, as it would on the host
					return
				}
			}
			if err != nil || n == 0 { // a terminal reports EIO when its last user is gone
				_ = st.CloseWrite()
				return
			}
			o.mu.Lock()
			o.busy = false
			o.mu.Unlock()
		}
	}()
}

// output is one descriptor that the process writes to.
type output struct {
	file  *os.File
	ended chan struct{}

	mu   sync.Mutex // held over a read, so that bytes are in the pipe or busy is set
	busy bool       // bytes have been read and not yet handed over
}

func (o *output) read(buf []byte) (n int, err error) {
	rc, err := o.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	werr := rc.Read(func(fd uintptr) bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		for {
			n, err = unix.Read(int(fd), buf)
			if !errors.Is(err, unix.EINTR) {
				break
			}
		}
		o.busy = n > 0
		return !errors.Is(err, unix.EAGAIN)
	})
	return max(n, 0), errors.Join(err, werr)
}

// empty says that nothing that was written is still here.
func (o *output) empty() bool {
	rc, err := o.file.SyscallConn()
	if err != nil {
		return true // closed
	}
	waiting := false
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := rc.Control(func(fd uintptr) {
		// poll also looks at what a terminal has taken from the process and not yet
		// made readable; FIONREAD does not.
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		_, err := unix.Poll(p, 0)
		waiting = err != nil || p[0].Revents&unix.POLLIN != 0
	}); err != nil {
		return true
	}
	return !waiting && !o.busy
}

// finish is called when the process has ended. All that it wrote is carried, for
// as long as the host takes; children that it leaves behind do not keep the
// streams open.
func (s *stdio) finish() {
	for _, o := range s.outputs {
		for ended := false; !ended && !o.empty(); {
			select {
			case <-o.ended:
				ended = true
			case <-time.After(time.Millisecond):
			}
		}
	}
	s.close()
}

// started closes the process' descriptors on the agent's side, so that their end
// is seen when the process ends.
func (s *stdio) started() {
	for i, fd := range s.child {
		if i == 0 || fd != s.child[0] {
			unix.Close(fd)
		}
	}
}

func (s *stdio) close() {
	for _, f := range s.ours {
		f.Close()
	}
	for _, st := range s.streams {
		_ = st.CloseWrite()
		st.Close()
	}
}
