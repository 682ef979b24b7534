package qemu

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
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
	if !m.agreed {
		m.agreed = true
		if err := m.run("qmp_capabilities", nil, nil); err != nil {
			return err
		}
	}
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
	if err := m.conn.SetDeadline(time.Now().Add(monitorTime)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, _, err := m.conn.WriteMsgUnix(b, rights, nil); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := m.answer(result); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// answer reads until the answer: the greeting and events are not of interest.
func (m *monitor) answer(result any) error {
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
			return fmt.Errorf("no answer from QEMU within %v", monitorTime)
		case err != nil && m.limit.N <= 0:
			return fmt.Errorf("QEMU's answer is longer than %d bytes", maxReply)
		case err != nil:
			return fmt.Errorf("QEMU's answer: %w", err)
		case reply.Error != nil:
			return errors.New(reply.Error.Desc)
		case reply.Return == nil:
			continue
		case result != nil:
			return json.Unmarshal(reply.Return, result)
		}
		return nil
	}
}
