package channel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Stream is one ordered byte stream in each direction. Read, Write and the
// closing methods may be called concurrently with each other.
type Stream struct {
	session *Session
	id      uint32
	header  Header

	sendMu sync.Mutex // held over a frame of data or EOF, so that EOF is the last

	mu       sync.Mutex
	readable sync.Cond // data, EOF or err changed
	writable sync.Cond // sendWindow or err changed

	buf        buffer // received, not yet read
	consumed   uint32 // read since the last credit frame
	recvEOF    bool
	sentEOF    bool // CloseWrite was called
	eofOut     bool // and its frame has been written
	sendWindow uint32
	err        error
}

func newStream(s *Session, id uint32, h Header) *Stream {
	st := &Stream{session: s, id: id, header: h, sendWindow: Window}
	st.readable.L, st.writable.L = &st.mu, &st.mu
	return st
}

// Header is what the stream was opened with.
func (st *Stream) Header() Header { return st.header }

// Read returns io.EOF after the peer's CloseWrite.
func (st *Stream) Read(p []byte) (int, error) {
	st.mu.Lock()
	for st.buf.len() == 0 && !st.recvEOF && st.err == nil {
		st.readable.Wait()
	}
	if st.buf.len() == 0 {
		defer st.mu.Unlock()
		if st.recvEOF {
			return 0, io.EOF
		}
		return 0, st.err
	}
	n := st.buf.read(p)
	st.consumed += uint32(n)
	give := uint32(0)
	if st.consumed >= Window/2 && !st.recvEOF {
		give, st.consumed = st.consumed, 0
	}
	st.mu.Unlock()
	if give > 0 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], give)
		_ = st.session.write(frame{id: st.id, kind: frameCredit, payload: b[:]}) // a failure ends the session; the next Read says so
	}
	return n, nil
}

// Write blocks while the peer has Window unread bytes.
func (st *Stream) Write(p []byte) (int, error) {
	total := 0
	for len(p) > 0 {
		n, err := st.writeSome(p)
		total += n
		if err != nil {
			return total, err
		}
		p = p[n:]
	}
	return total, nil
}

// writeSome sends one frame, as large as the window allows.
func (st *Stream) writeSome(p []byte) (int, error) {
	if err := st.waitWindow(); err != nil {
		return 0, err
	}
	st.sendMu.Lock()
	defer st.sendMu.Unlock()
	st.mu.Lock()
	if st.sentEOF || st.err != nil { // since the wait
		defer st.mu.Unlock()
		return 0, st.writeError()
	}
	n := min(len(p), int(st.sendWindow), maxPayload) // 0 when another writer was faster
	st.sendWindow -= uint32(n)
	st.mu.Unlock()
	if n == 0 {
		return 0, nil
	}
	if err := st.session.write(frame{id: st.id, kind: frameData, payload: p[:n]}); err != nil {
		return 0, err
	}
	return n, nil
}

func (st *Stream) waitWindow() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	for st.sendWindow == 0 && st.err == nil && !st.sentEOF {
		st.writable.Wait()
	}
	return st.writeError()
}

// writeError is why nothing can be written any more; st.mu is held.
func (st *Stream) writeError() error {
	if st.err == nil && st.sentEOF {
		return ErrClosed
	}
	return st.err
}

// CloseWrite tells the peer that no more bytes come; reading goes on.
func (st *Stream) CloseWrite() error {
	st.sendMu.Lock() // a second call returns when the first one's frame is out
	defer st.sendMu.Unlock()
	st.mu.Lock()
	if st.sentEOF || st.err != nil {
		st.mu.Unlock()
		return nil
	}
	st.sentEOF = true
	st.writable.Broadcast()
	st.mu.Unlock()
	err := st.session.write(frame{id: st.id, kind: frameEOF})
	st.mu.Lock()
	st.eofOut = true
	done := st.recvEOF
	st.mu.Unlock()
	if done {
		st.session.forget(st)
	}
	return err
}

// Close ends both directions at once: unread bytes are lost, and the peer's
// writes fail.
func (st *Stream) Close() error {
	st.mu.Lock()
	finished := st.err != nil || (st.eofOut && st.recvEOF)
	st.mu.Unlock()
	st.session.forget(st)
	st.abort(ErrClosed)
	if finished {
		return nil
	}
	st.sendMu.Lock()
	defer st.sendMu.Unlock()
	if err := st.session.write(frame{id: st.id, kind: frameReset}); err != nil && !errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

func (st *Stream) receive(p []byte) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.recvEOF {
		return fmt.Errorf("stream %d: data after its end", st.id)
	}
	if st.err != nil {
		return nil
	}
	if st.buf.len()+int(st.consumed)+len(p) > Window {
		return fmt.Errorf("stream %d: the peer exceeds its window", st.id)
	}
	st.buf.write(p)
	st.readable.Broadcast()
	return nil
}

func (st *Stream) receiveEOF() {
	st.mu.Lock()
	st.recvEOF = true
	done := st.eofOut
	st.readable.Broadcast()
	st.mu.Unlock()
	if done {
		st.session.forget(st)
	}
}

func (st *Stream) credit(n uint32) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if n > Window || st.sendWindow+n > Window {
		return fmt.Errorf("stream %d: credit of %d exceeds the window", st.id, n)
	}
	st.sendWindow += n
	st.writable.Broadcast()
	return nil
}

func (st *Stream) abort(err error) {
	st.mu.Lock()
	if st.err == nil {
		st.err = err
	}
	st.readable.Broadcast()
	st.writable.Broadcast()
	st.mu.Unlock()
}
