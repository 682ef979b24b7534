package qemu

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kata/vm"
)

// monitor is QEMU's control connection (QEMU Machine Protocol), over a socket that
// QEMU inherits. A guest may have taken QEMU over: what it says is bounded.
type monitor struct {
	conn   *net.UnixConn
	dec    *json.Decoder
	limit  *io.LimitedReader
	agreed bool
	mu     sync.Mutex // one command after the other
	broken error      // why no answer belongs to its question any more
}

// monitorTime is how long QEMU may take for an answer; one that hangs has none.
var monitorTime = 30 * time.Second

// maxReply bounds an answer and the events before it, in bytes.
const maxReply = 1 << 20

// newMonitor returns QEMU's end as well, which the caller closes once QEMU has it.
func newMonitor() (*monitor, *os.File, error) {
	conn, guest, err := vm.ChannelPair()
	if err != nil {
		return nil, nil, err
	}
	limit := &io.LimitedReader{R: conn}
	return &monitor{conn: conn.(*net.UnixConn), dec: json.NewDecoder(limit), limit: limit}, guest, nil
}

// Close ends the conversation; QEMU goes on without.
func (m *monitor) Close() { m.conn.Close() }

// run executes a command. files, if any, go with it.
func (m *monitor) run(name string, arguments, result any, files ...*os.File) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return fmt.Errorf("%s: %w", name, m.broken)
	}
	if !m.agreed {
		m.agreed = true
		if err := m.exchange("qmp_capabilities", nil, nil); err != nil {
			return err
		}
	}
	return m.exchange(name, arguments, result, files...)
}

// exchange sends a command and reads its answer.
func (m *monitor) exchange(name string, arguments, result any, files ...*os.File) error {
	request := map[string]any{"execute": name}
	if arguments != nil {
		request["arguments"] = arguments
	}
	b, err := json.Marshal(request)
	if err != nil {
		return err
	}
	var rights []byte
	if len(files) > 0 {
		var fds []int
		for _, f := range files {
			fds = append(fds, int(f.Fd()))
		}
		rights = unix.UnixRights(fds...)
	}
	if err = m.conn.SetDeadline(time.Now().Add(monitorTime)); err == nil {
		_, _, err = m.conn.WriteMsgUnix(b, rights, nil)
	}
	var answer json.RawMessage
	if err == nil {
		answer, err = m.answer()
	}
	if _, said := errors.AsType[*refusal](err); err != nil && !said {
		m.broken = err
	}
	if err == nil && result != nil {
		err = json.Unmarshal(answer, result)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// refusal is QEMU's word on a command that it does not carry out.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

// answer reads until the answer: the greeting and events are not of interest.
func (m *monitor) answer() (json.RawMessage, error) {
	m.limit.N = maxReply
	for {
		var reply struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		switch err := m.dec.Decode(&reply); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, fmt.Errorf("no answer from QEMU within %v", monitorTime)
		case err != nil && m.limit.N <= 0:
			return nil, fmt.Errorf("QEMU's answer is longer than %d bytes", maxReply)
		case err != nil:
			return nil, fmt.Errorf("QEMU's answer: %w", err)
		case reply.Error != nil:
			return nil, &refusal{reply.Error.Desc}
		case reply.Return != nil:
			return reply.Return, nil
		}
	}
}
