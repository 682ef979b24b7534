package container

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

const patience = time.Minute

// stream is the host's end as a test sees it.
type stream struct {
	in      io.Reader     // what the process reads
	gate    chan struct{} // if not nil, holds up writes until closed
	writing chan struct{} // a write has begun
	once    sync.Once

	mu     sync.Mutex
	out    bytes.Buffer
	ended  bool
	closed bool
}

func (s *stream) Read(p []byte) (int, error) {
	if s.in == nil {
		return 0, io.EOF
	}
	return s.in.Read(p)
}

func (s *stream) Write(p []byte) (int, error) {
	if s.gate != nil {
		s.once.Do(func() { close(s.writing) })
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

func (s *stream) CloseWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	return nil
}

func (s *stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func (s *stream) check(t *testing.T, want string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := s.out.String(); got != want || !s.ended || !s.closed {
		t.Errorf("%d bytes (want %d), end %v, closed %v", len(got), len(want), s.ended, s.closed)
	}
}

func opened(t *testing.T, p *api.Process, streams ...*stream) *stdio {
	t.Helper()
	s, err := openStdio(p, func(fd int) (Stream, error) {
		if fd >= len(streams) || streams[fd] == nil {
			return nil, errors.New("no such stream")
		}
		return streams[fd], nil
	})
	if err != nil {
		skipIfEmulated(t, err) // openat2, for a terminal
		t.Fatal(err)
	}
	return s
}

// finished waits for finish.
func finished(t *testing.T, s *stdio) {
	t.Helper()
	done := make(chan struct{})
	go func() { s.finish(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("finish does not end")
	}
}

func write(t *testing.T, fd int, s string) {
	t.Helper()
	for b := []byte(s); len(b) > 0; {
		n, err := unix.Write(fd, b)
		if err != nil {
			t.Fatal(err)
		}
		b = b[n:]
	}
}

func TestOutputIsCarriedToTheEnd(t *testing.T) {
	out, errOut := &stream{}, &stream{}
	s := opened(t, &api.Process{SeparateStderr: true}, nil, out, errOut)
	text := strings.Repeat("0123456789abcdef", 20000) // several pipes full
	write(t, s.child[1], text)
	write(t, s.child[2], "error")
	s.started()
	finished(t, s)
	out.check(t, text)
	errOut.check(t, "error")
}

// A daemon that the process left behind still holds the output.
func TestFinishDoesNotWaitForOthers(t *testing.T) {
	out := &stream{}
	s := opened(t, &api.Process{}, nil, out)
	held, err := unix.Dup(s.child[1])
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(held)
	write(t, s.child[1], "all of it")
	s.started()
	finished(t, s)
	out.check(t, "all of it")
}

func TestFinishWaitsForTheHost(t *testing.T) {
	out := &stream{gate: make(chan struct{}), writing: make(chan struct{})}
	s := opened(t, &api.Process{}, nil, out)
	held, err := unix.Dup(s.child[1])
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(held)
	write(t, s.child[1], "slow")
	s.started()
	<-out.writing // read from the pipe, and not yet handed over
	if s.outputs[0].empty() {
		t.Error("bytes on their way count as carried")
	}
	done := make(chan struct{})
	go func() { s.finish(); close(done) }()
	select {
	case <-done:
		t.Error("finish did not wait for the host")
	default:
	}
	close(out.gate)
	<-done
	out.check(t, "slow")
}

func TestInput(t *testing.T) {
	in, out := &stream{in: strings.NewReader("typed")}, &stream{}
	s := opened(t, &api.Process{Stdin: true}, in, out)
	fd, err := unix.Dup(s.child[0])
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "input")
	defer f.Close()
	if got, err := io.ReadAll(f); string(got) != "typed" || err != nil {
		t.Errorf("the process reads %q, %v", got, err)
	}
	s.started()
	finished(t, s)
	out.check(t, "")
}

func TestNoInput(t *testing.T) {
	s := opened(t, &api.Process{}, nil, &stream{})
	if n, err := unix.Read(s.child[0], make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("without a stream the process reads %d, %v; want the end", n, err)
	}
	if e, ok := errors.AsType[*api.Error](s.resize(1, 1)); !ok || e.Code != api.CodePrecondition {
		t.Errorf("resize without a terminal: %v", e)
	}
	s.started()
	finished(t, s)
}

func TestTerminal(t *testing.T) {
	r, w := io.Pipe()
	term := &stream{in: r}
	s := opened(t, &api.Process{Terminal: true, Rows: 24, Columns: 80}, nil, term)
	ws, err := unix.IoctlGetWinsize(s.child[0], unix.TIOCGWINSZ)
	if err != nil || ws.Row != 24 || ws.Col != 80 {
		t.Errorf("size %+v, %v", ws, err)
	}
	if err := s.resize(50, 132); err != nil {
		t.Error(err)
	}
	if ws, err = unix.IoctlGetWinsize(s.child[0], unix.TIOCGWINSZ); err != nil || ws.Row != 50 || ws.Col != 132 {
		t.Errorf("size %+v, %v", ws, err)
	}
	if _, err := io.WriteString(w, "ls\n"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	if n, err := unix.Read(s.child[0], buf); string(buf[:max(n, 0)]) != "ls\n" || err != nil {
		t.Errorf("the process reads %q, %v", buf, err)
	}
	write(t, s.child[0], "file\n")
	s.started()
	finished(t, s)
	w.Close()
	term.check(t, "ls\r\nfile\r\n")
}

func TestDescriptors(t *testing.T) {
	streams := []*stream{{}, {}, {}, {in: strings.NewReader("read")}, {}, {in: strings.NewReader("both")}}
	s := opened(t, &api.Process{Stdin: true, SeparateStderr: true, Descriptors: []uint32{api.Reads, api.Writes, api.Reads | api.Writes}}, streams...)
	for _, fd := range s.child[3:] {
		if fd < 6 {
			t.Errorf("descriptor %d would be closed by putting another in its place", fd)
		}
	}
	for fd, want := range map[int]string{3: "read", 5: "both"} {
		buf := make([]byte, 16)
		n, err := unix.Read(s.child[fd], buf)
		end, _ := unix.Read(s.child[fd], buf[n:])
		if string(buf[:max(n, 0)]) != want || err != nil || end != 0 {
			t.Errorf("the process reads %q from %d, then %d, %v", buf[:max(n, 0)], fd, end, err)
		}
	}
	write(t, s.child[4], "written")
	write(t, s.child[5], "answer")
	s.started()
	finished(t, s)
	streams[4].check(t, "written")
	streams[5].check(t, "answer")
	if _, err := openStdio(&api.Process{Descriptors: []uint32{4}}, func(int) (Stream, error) { return &stream{}, nil }); err == nil {
		t.Error("access 4 is none")
	}
}

func TestMissingStream(t *testing.T) {
	for _, p := range []*api.Process{{}, {Terminal: true}, {Stdin: true}} {
		_, err := openStdio(p, func(int) (Stream, error) { return nil, errors.New("the host opened none") })
		if err == nil || err.Error() != "standard i/o: the host opened none" {
			t.Errorf("%v", err)
		}
	}
}
