package channel

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Role is the side of the channel; it decides whose stream ids are odd.
type Role uint8

const (
	// Host is the side outside the machine. It speaks second: a guest's device may
	// not be ready for what comes before the agent has opened it.
	Host Role = iota
	// Agent is the side inside the machine.
	Agent
)

// ErrClosed is returned by operations on a session or stream that this side closed.
var ErrClosed = errors.New("channel is closed")

// Session is one channel. Its methods may be called concurrently.
type Session struct {
	rwc io.ReadWriteCloser

	writeMu sync.Mutex // held while a frame is written
	wbuf    []byte
	stall   *time.Timer // ends the session of a host whose machine takes nothing

	mu      sync.Mutex
	streams map[uint32]*Stream
	nextID  uint32
	peerOdd uint32 // the low bit of the peer's stream ids
	err     error

	accept chan *Stream
	done   chan struct{}
}

// New greets the peer over rwc and starts the session. It blocks until the
// peer's greeting is there: bound it by closing rwc. The session owns rwc from
// here on. Errors: ErrVersion, or what rwc returned.
func New(rwc io.ReadWriteCloser, role Role) (*Session, error) {
	if role == Agent {
		if err := writePreface(rwc, Version); err != nil {
			return nil, err
		}
	}
	r := bufio.NewReaderSize(rwc, maxPayload+headerSize)
	err := readPreface(r)
	if role == Host && (err == nil || errors.Is(err, ErrVersion)) {
		// A peer of another version learns ours, and can say so too.
		if werr := writePreface(rwc, Version); err == nil {
			err = werr
		}
	}
	if err != nil {
		return nil, err
	}
	s := &Session{
		rwc:     rwc,
		streams: map[uint32]*Stream{},
		accept:  make(chan *Stream, MaxStreams),
		done:    make(chan struct{}),
		nextID:  1,
	}
	if role == Agent { // it waits for its host as long as it takes
		s.nextID, s.peerOdd = 2, 1
	} else {
		s.stall = time.AfterFunc(stallTime, func() { s.fail(ErrStalled) })
		s.stall.Stop()
	}
	go s.readLoop(r)
	return s, nil
}

// ErrStalled is the end of a session whose machine is stuck: an agent always reads.
var ErrStalled = errors.New("the machine takes nothing from its channel")

// stallTime is how long it may take until a machine has taken what is written to it,
// one frame beyond what the channel's device and socket hold.
var stallTime = 30 * time.Second

// ErrTooMany is returned by Open when MaxStreams are open.
var ErrTooMany = errors.New("channel has too many open streams")

// Open starts a stream to the peer. It does not wait for the peer to accept.
func (s *Session) Open(h Header) (*Stream, error) {
	payload, err := h.encode()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	if s.err != nil {
		defer s.mu.Unlock()
		return nil, s.err
	}
	if len(s.streams) >= MaxStreams { // the peer would end the session
		defer s.mu.Unlock()
		return nil, ErrTooMany
	}
	st := newStream(s, s.nextID, h)
	s.streams[st.id] = st
	s.nextID += 2
	s.mu.Unlock()
	if err := s.write(frame{id: st.id, kind: frameOpen, payload: payload}); err != nil {
		return nil, err
	}
	return st, nil
}

// Accept returns the next stream that the peer opened; the error is the
// session's end.
func (s *Session) Accept() (*Stream, error) {
	select {
	case st := <-s.accept:
		return st, nil
	case <-s.done:
		return nil, s.Err()
	}
}

// Done is closed when the session has ended; Err then says why.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err is why the session ended: nil while it runs, ErrClosed after Close,
// io.EOF when the peer went away.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close ends the session and all its streams.
func (s *Session) Close() error {
	s.fail(ErrClosed)
	return nil
}

func (s *Session) fail(err error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = err
	streams := s.streams
	s.streams = map[uint32]*Stream{}
	s.mu.Unlock()
	close(s.done)
	s.rwc.Close()
	if errors.Is(err, io.EOF) {
		// Read's io.EOF is the peer's CloseWrite: what the session's end cut off
		// must not look complete.
		err = io.ErrUnexpectedEOF
	}
	for _, st := range streams {
		st.abort(err)
	}
}

func (s *Session) write(f frame) error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	s.wbuf = appendFrame(s.wbuf[:0], f)
	if s.stall != nil {
		s.stall.Reset(stallTime)
		defer s.stall.Stop()
	}
	if _, err := s.rwc.Write(s.wbuf); err != nil {
		go s.fail(err)
		return err
	}
	return nil
}

func (s *Session) readLoop(r io.Reader) {
	buf := make([]byte, maxPayload)
	for {
		f, err := readFrame(r, buf)
		if err == nil {
			err = s.handle(f)
		}
		if err != nil {
			s.fail(err)
			return
		}
	}
}

// handle acts on a frame of the peer. An error means that the peer breaks the
// protocol, which ends the session; frames for streams that this side has
// already forgotten are late, not wrong.
func (s *Session) handle(f frame) error {
	if f.kind == frameOpen {
		return s.handleOpen(f)
	}
	s.mu.Lock()
	st := s.streams[f.id]
	s.mu.Unlock()
	switch f.kind {
	case frameData:
		if st == nil {
			return nil
		}
		return st.receive(f.payload)
	case frameCredit:
		if len(f.payload) != 4 {
			return fmt.Errorf("credit frame of %d bytes", len(f.payload))
		}
		if st == nil {
			return nil
		}
		return st.credit(binary.BigEndian.Uint32(f.payload))
	case frameEOF:
		if st != nil {
			st.receiveEOF()
		}
	case frameReset:
		if st != nil {
			s.forget(st)
			st.abort(io.ErrClosedPipe)
		}
	default:
		return fmt.Errorf("unknown frame type %d", f.kind)
	}
	return nil
}

func (s *Session) handleOpen(f frame) error {
	h, err := decodeHeader(f.payload)
	if err != nil {
		return err
	}
	if f.id&1 != s.peerOdd || f.id == 0 {
		return fmt.Errorf("the peer opens stream %d, an id that is not its own", f.id)
	}
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return nil
	}
	if s.streams[f.id] != nil || len(s.streams) >= MaxStreams {
		n := len(s.streams)
		s.mu.Unlock()
		return fmt.Errorf("the peer opens stream %d: in use, or too many (%d)", f.id, n)
	}
	st := newStream(s, f.id, h)
	s.streams[f.id] = st
	s.mu.Unlock()
	// Never wait here: a peer that opens streams which nobody takes would stall those
	// that are open.
	select {
	case s.accept <- st:
		return nil
	default:
		return fmt.Errorf("the peer opens stream %d, while %d others have not been taken", f.id, cap(s.accept))
	}
}

func (s *Session) forget(st *Stream) {
	s.mu.Lock()
	delete(s.streams, st.id)
	s.mu.Unlock()
}
