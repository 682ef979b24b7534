package api

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// The frames of ttrpc (PROTOCOL.md of containerd/ttrpc): length, stream id
// (uint32 each, big-endian), type, flags; then a protobuf message.
const (
	ttrpcHeader  = 10
	typeRequest  = 1
	typeResponse = 2

	// MaxMessage bounds one message in either direction, as ttrpc does: 4 MiB.
	MaxMessage = 4 << 20
)

type rpcRequest struct {
	Service string `pb:"1"`
	Method  string `pb:"2"`
	Payload []byte `pb:"3"`
	Timeout int64  `pb:"4"`
}

type rpcStatus struct {
	Code    int32  `pb:"1"`
	Message string `pb:"2"`
}

type rpcResponse struct {
	Status  *rpcStatus `pb:"1"`
	Payload []byte     `pb:"2"`
}

var errTooLarge = errors.New("message is too large")

// encodeFrame makes a frame whose stream id is still to be set.
func encodeFrame(kind uint8, m any) ([]byte, error) {
	body := Marshal(m)
	if len(body) > MaxMessage {
		return nil, fmt.Errorf("%w: %d bytes exceed the limit of %d", errTooLarge, len(body), MaxMessage)
	}
	b := make([]byte, ttrpcHeader, ttrpcHeader+len(body))
	binary.BigEndian.PutUint32(b, uint32(len(body)))
	b[8] = kind
	return append(b, body...), nil
}

func setStream(frame []byte, stream uint32) { binary.BigEndian.PutUint32(frame[4:], stream) }

func writeMessage(w io.Writer, mu *sync.Mutex, stream uint32, kind uint8, m any) error {
	b, err := encodeFrame(kind, m)
	if err != nil {
		return err
	}
	setStream(b, stream)
	mu.Lock()
	defer mu.Unlock()
	_, err = w.Write(b)
	return err
}

func readMessageFrame(r io.Reader) (stream uint32, kind uint8, body []byte, err error) {
	var h [ttrpcHeader]byte
	if _, err = io.ReadFull(r, h[:]); err != nil {
		return 0, 0, nil, err
	}
	n := binary.BigEndian.Uint32(h[:])
	if n > MaxMessage {
		return 0, 0, nil, fmt.Errorf("%w: %d bytes exceed the limit of %d", errTooLarge, n, MaxMessage)
	}
	body = make([]byte, n)
	_, err = io.ReadFull(r, body)
	return binary.BigEndian.Uint32(h[4:]), h[8], body, err
}

// Handler serves one method: it decodes its own request from the payload.
type Handler func(payload []byte) (response any, err error)

// Method makes a Handler of a typed function.
func Method[Req, Resp any](f func(*Req) (*Resp, error)) Handler {
	return func(payload []byte) (any, error) {
		req := new(Req)
		if err := Unmarshal(payload, req); err != nil {
			return nil, &Error{CodeInvalid, err.Error()}
		}
		return f(req)
	}
}

// Serve answers requests on rw until it ends. Each request runs in a goroutine
// of its own, so a Wait does not hold up others.
func Serve(rw io.ReadWriter, methods map[string]Handler) error {
	var mu sync.Mutex
	for {
		stream, kind, body, err := readMessageFrame(rw)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if kind != typeRequest {
			return fmt.Errorf("ttrpc: a client sent a frame of type %d", kind)
		}
		go func() {
			err := writeMessage(rw, &mu, stream, typeResponse, answer(methods, body))
			if errors.Is(err, errTooLarge) { // the caller must not wait for ever
				_ = writeMessage(rw, &mu, stream, typeResponse, &rpcResponse{Status: &rpcStatus{int32(CodeUnknown), err.Error()}})
			}
			// Any other failure means that the stream is gone, which the read above reports.
		}()
	}
}

func answer(methods map[string]Handler, body []byte) *rpcResponse {
	var req rpcRequest
	if err := Unmarshal(body, &req); err != nil {
		return &rpcResponse{Status: &rpcStatus{int32(CodeInvalid), err.Error()}}
	}
	h := methods[req.Method]
	if h == nil || req.Service != Service {
		return &rpcResponse{Status: &rpcStatus{int32(CodeUnimplemented),
			fmt.Sprintf("the agent has no method %s/%s", req.Service, req.Method)}}
	}
	resp, err := h(req.Payload)
	if err != nil {
		code := CodeUnknown
		if e, ok := errors.AsType[*Error](err); ok {
			code = e.Code
		}
		return &rpcResponse{Status: &rpcStatus{int32(code), err.Error()}}
	}
	return &rpcResponse{Payload: Marshal(resp)}
}

// Conn is the client's end of a ttrpc connection; calls may run concurrently.
type Conn struct {
	rw   io.ReadWriteCloser
	turn chan struct{} // held by the one who writes

	mu    sync.Mutex
	next  uint32
	calls map[uint32]chan *rpcResponse
	err   error
}

// NewConn starts a client on rw and owns it.
func NewConn(rw io.ReadWriteCloser) *Conn {
	c := &Conn{rw: rw, turn: make(chan struct{}, 1), next: 1, calls: map[uint32]chan *rpcResponse{}}
	go c.readLoop()
	return c
}

// Close ends all calls with an error.
func (c *Conn) Close() error { return c.rw.Close() }

func (c *Conn) readLoop() {
	for {
		stream, kind, body, err := readMessageFrame(c.rw)
		var resp rpcResponse
		if err == nil && kind != typeResponse {
			err = fmt.Errorf("ttrpc: the agent sent a frame of type %d", kind)
		}
		if err == nil {
			err = Unmarshal(body, &resp)
		}
		c.mu.Lock()
		if err != nil {
			c.err = err
			for _, ch := range c.calls {
				close(ch)
			}
			c.calls = nil
			c.mu.Unlock()
			c.rw.Close()
			return
		}
		if ch := c.calls[stream]; ch != nil {
			delete(c.calls, stream)
			ch <- &resp
		}
		c.mu.Unlock()
	}
}

// Call sends one request and waits for its answer. done, if not nil, abandons
// the wait when closed, also that for an agent to take the request. Errors: *Error
// from the agent, or the connection's end.
func (c *Conn) Call(done <-chan struct{}, method string, req, resp any) error {
	frame, err := encodeFrame(typeRequest, &rpcRequest{Service: Service, Method: method, Payload: Marshal(req)})
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	late := fmt.Errorf("agent: no answer to %s in time", method)
	select {
	case c.turn <- struct{}{}:
	case <-done:
		return late
	}
	id, ch, err := c.register()
	if err != nil {
		<-c.turn
		return fmt.Errorf("agent: %w", err)
	}
	setStream(frame, id)
	// What is written in part cannot be taken back. If the agent does not take it, the
	// calls after this one wait in vain, each until it is abandoned.
	go func() {
		_, _ = c.rw.Write(frame) // a failure is the connection's end, which the read loop reports
		<-c.turn
	}()
	select {
	case r, ok := <-ch:
		if !ok {
			c.mu.Lock()
			defer c.mu.Unlock()
			return fmt.Errorf("agent: %w", c.err)
		}
		if r.Status != nil && r.Status.Code != 0 {
			return &Error{Code(r.Status.Code), r.Status.Message}
		}
		return Unmarshal(r.Payload, resp)
	case <-done:
		c.forget(id)
		return late
	}
}

// register makes an id for a call, whose answer comes on the channel. Ids must reach a
// ttrpc server in rising order: only who has the turn calls this, and keeps it until
// the request is written.
func (c *Conn) register() (uint32, <-chan *rpcResponse, error) {
	ch := make(chan *rpcResponse, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, nil, c.err
	}
	id := c.next
	c.next += 2
	c.calls[id] = ch
	return id, ch, nil
}

func (c *Conn) forget(id uint32) {
	c.mu.Lock()
	delete(c.calls, id)
	c.mu.Unlock()
}
