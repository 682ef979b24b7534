package proxy

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/agent/api"
	"kata/sandbox"
	"kata/sandbox/compile"
	"kata/sandbox/state"
	"kata/vm"
)

// Operation is what a request asks for.
type Operation string

// The operations. All but Create act on the sandbox's container.
const (
	Create  Operation = "create"  // on the connection that the proxy inherits
	Start   Operation = "start"   //
	Status  Operation = "status"  //
	Signal  Operation = "signal"  // Signal, All, Exec
	Exec    Operation = "exec"    // Process, Exec, Cgroup, Descriptors
	Wait    Operation = "wait"    // Exec; the caller's end is the process' end
	Resize  Operation = "resize"  // Rows, Columns, Exec
	List    Operation = "list"    //
	Stdio   Operation = "stdio"   // FD, Exec; the connection becomes the stream
	Destroy Operation = "destroy" // end the container, and with the last one the sandbox
	Join    Operation = "join"    // Create, on the socket of a container of the sandbox: make one more
)

// Request is one line from a command.
type Request struct {
	Op     Operation `json:"op"`
	Exec   string    `json:"exec,omitempty"`
	Signal int       `json:"signal,omitempty"`
	All    bool      `json:"all,omitempty"`
	FD     int       `json:"fd,omitempty"`
	// Cgroup is where Exec puts the process, below the container's own.
	Cgroup string `json:"cgroup,omitempty"`
	// Descriptors say what Exec's process does with 3 and up (api.Reads, api.Writes).
	Descriptors []uint32 `json:"descriptors,omitempty"`
	// IgnorePaused lets Exec wait until a paused container goes on.
	IgnorePaused bool           `json:"ignorePaused,omitempty"`
	Rows         uint32         `json:"rows,omitempty"`
	Columns      uint32         `json:"columns,omitempty"`
	Process      *specs.Process `json:"process,omitempty"`
	Create       *CreateRequest `json:"create,omitempty"`
	// Resources are what Update changes.
	Resources *specs.LinuxResources `json:"resources,omitempty"`
	// Patience is how much longer than usual the answer may take.
	Patience time.Duration `json:"patience,omitempty"`
}

// CreateRequest is everything that the sandbox is made from.
type CreateRequest struct {
	ID     string `json:"id"`
	Bundle string `json:"bundle"`
	Choice
	// Joins and Root are for Join: the namespaces to share, and the directory of the
	// containers' state.
	Joins compile.Joins `json:"joins,omitempty"`
	Root  string        `json:"root,omitempty"`
	// Descriptors say what the process does with 3 and up (api.Reads, api.Writes).
	Descriptors []uint32 `json:"descriptors,omitempty"`
	// Network says that the proxy inherits the network namespace to take over.
	Network bool `json:"network,omitempty"`
}

// Response is one line back.
type Response struct {
	Error     *Failure          `json:"error,omitempty"`
	Created   *CreatedInfo      `json:"created,omitempty"`
	Status    *StatusInfo       `json:"status,omitempty"`
	Exit      *ExitInfo         `json:"exit,omitempty"`
	Processes []api.ProcessInfo `json:"processes,omitempty"`
	// Standins are the host's processes that stand for them, those of exec only.
	Standins []int             `json:"standins,omitempty"`
	Stats    map[string]string `json:"stats,omitempty"`
	// Others answers Destroy: how many containers the sandbox goes on with.
	Others int  `json:"others,omitempty"`
	Ended  bool `json:"ended,omitempty"`
}

// CreatedInfo answers Create.
type CreatedInfo struct {
	Record   state.Record `json:"record"`
	Terminal bool         `json:"terminal"`
	Warnings []string     `json:"warnings,omitempty"`
}

// StatusInfo answers Status.
type StatusInfo struct {
	Status     specs.ContainerState `json:"status"`
	Isolation  vm.Isolation         `json:"isolation"`
	Hypervisor string               `json:"hypervisor"`
	MachinePID int                  `json:"machinePid"`
	Timings    sandbox.Timings      `json:"timings"`
	Kernel     string               `json:"kernel"`
	MemoryKiB  uint64               `json:"memoryKiB"`
	AgentKiB   uint64               `json:"agentRssKiB"`
}

// ExitInfo answers Wait.
type ExitInfo struct {
	Status int `json:"status"`
	// Reason is set when the process did not end by itself.
	Reason string `json:"reason,omitempty"`
}

// Failure is an error that crosses the socket.
type Failure struct {
	// Code is the agent's kind of error, 0 for any other.
	Code    api.Code `json:"code,omitempty"`
	Message string   `json:"message"`
	// Detail is the console of a machine that did not boot.
	Detail string `json:"detail,omitempty"`
}

func (f *Failure) Error() string { return f.Message }

// ExitCode is what the command line exits with: a shell's codes for a command
// that is missing or not executable.
func (f *Failure) ExitCode() int {
	if f.Code == api.CodeNoCommand || f.Code == api.CodeNotExecutable {
		return int(f.Code)
	}
	return 1
}

func failure(err error) *Failure {
	f := &Failure{Message: err.Error()}
	if e, ok := errors.AsType[*api.Error](err); ok {
		f.Code = e.Code
	}
	if e, ok := errors.AsType[*vm.BootError](err); ok {
		f.Detail = e.Console
	}
	return f
}

// maxLine bounds a request: a process with a large environment fits.
const maxLine = 4 << 20

// Conn is a connection that carries JSON lines, and bytes after them.
type Conn struct {
	*net.UnixConn
	r *bufio.Reader
}

// NewConn wraps a connection.
func NewConn(c *net.UnixConn) *Conn { return &Conn{c, bufio.NewReaderSize(c, 4096)} }

// Read reads what follows the lines.
func (c *Conn) Read(p []byte) (int, error) {
	if c.r.Buffered() > 0 {
		return c.r.Read(p)
	}
	return c.UnixConn.Read(p)
}

// WriteTo implements io.WriterTo: what was read together with a line comes first.
func (c *Conn) WriteTo(w io.Writer) (int64, error) {
	var n int64
	if b, _ := c.r.Peek(c.r.Buffered()); len(b) > 0 {
		m, err := w.Write(b)
		n = int64(m)
		_, _ = c.r.Discard(len(b))
		if err != nil {
			return n, err
		}
	}
	m, err := io.Copy(w, c.UnixConn)
	return n + m, err
}

func (c *Conn) send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = c.Write(append(b, '\n'))
	return err
}

func (c *Conn) receive(v any) error {
	var line []byte
	for {
		part, err := c.r.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			return json.Unmarshal(line, v)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if len(line) > maxLine {
			return fmt.Errorf("message exceeds %d bytes", maxLine)
		}
	}
}

// Call sends a request and waits for the answer. Errors: *Failure from the proxy;
// state.ErrGone when the connection broke.
func (c *Conn) Call(req *Request) (*Response, error) {
	if err := c.send(req); err != nil {
		return nil, fmt.Errorf("%w: %w", state.ErrGone, err)
	}
	var resp Response
	if err := c.receive(&resp); errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, errors.New("the sandbox does not answer")
	} else if err != nil {
		return nil, fmt.Errorf("%w: %w", state.ErrGone, err)
	}
	if resp.Error != nil {
		return nil, resp.Error
	}
	return &resp, nil
}

// Dial connects to the proxy of a container.
func Dial(d state.Dir) (*Conn, error) {
	c, err := d.Dial()
	if err != nil {
		return nil, err
	}
	return NewConn(c), nil
}

// How long a proxy that works may take to answer; one that is asked to end has
// less, because it can be killed instead.
const (
	answerTime  = 2 * callTime
	destroyTime = 10 * time.Second
)

// Call makes one request on a connection of its own.
func Call(d state.Dir, req *Request) (*Response, error) {
	c, err := Dial(d)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.CallInTime(req)
}

// CallInTime is Call for a proxy that works: it fails when the answer takes too long.
func (c *Conn) CallInTime(req *Request) (*Response, error) {
	patience := answerTime + req.Patience
	if req.Op == Destroy {
		patience = destroyTime
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	return c.Call(req)
}

// Acknowledge tells the proxy that its creator has written everything down.
func (c *Conn) Acknowledge() error { return c.send(&Request{Op: Status}) }
