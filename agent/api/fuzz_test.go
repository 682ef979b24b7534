package api

import (
	"bytes"
	"io"
	"testing"
)

// script is a connection whose peer says what a test wrote down, and then hangs up.
type script struct {
	io.Reader
	written func([]byte)
}

func (s script) Write(p []byte) (int, error) {
	if s.written != nil {
		s.written(p)
	}
	return len(p), nil
}

func (script) Close() error { return nil }

func frames(f interface{ Fatal(...any) }, kind uint8, messages ...any) (all []byte) {
	for i, m := range messages {
		b, err := encodeFrame(kind, m)
		if err != nil {
			f.Fatal(err)
		}
		setStream(b, uint32(2*i+1))
		all = append(all, b...)
	}
	return all
}

// FuzzServe: whatever the agent is sent, each whole request has one whole response, and
// the end of the connection ends it.
func FuzzServe(f *testing.F) {
	hello := &rpcRequest{Service: Service, Method: "Hello", Payload: Marshal(&HelloRequest{Version: 1})}
	f.Add([]byte{})
	f.Add(frames(f, typeRequest, hello))
	f.Add(frames(f, typeRequest, hello, &rpcRequest{Service: Service, Method: "Nothing"}, &rpcRequest{Service: "x", Method: "Hello"}, hello))
	f.Add(frames(f, typeRequest, &rpcRequest{Service: Service, Method: "Processes"}, &rpcRequest{Service: Service, Method: "Signal", Payload: []byte{0xff}}))
	f.Add(frames(f, typeResponse, &rpcResponse{}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, typeRequest, 0})
	f.Add([]byte{0, 0, 0, 9, 0, 0, 0, 1, typeRequest, 0, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		requests := 0
		for r := bytes.NewReader(data); ; requests++ {
			if _, kind, _, err := readMessageFrame(r); err != nil || kind != typeRequest {
				break
			}
		}
		responses := make(chan []byte, requests+1)
		_ = Serve(script{bytes.NewReader(data), func(p []byte) { responses <- bytes.Clone(p) }}, testMethods(nil))
		for range requests {
			p := <-responses
			r := bytes.NewReader(p)
			_, kind, body, err := readMessageFrame(r)
			if err != nil || kind != typeResponse || r.Len() != 0 || Unmarshal(body, &rpcResponse{}) != nil {
				t.Fatalf("%x is no response: %v", p, err)
			}
		}
	})
}

// FuzzCall: whatever the host gets from a guest, its calls end.
func FuzzCall(f *testing.F) {
	f.Add([]byte{})
	f.Add(frames(f, typeResponse, &rpcResponse{Payload: Marshal(&HelloResponse{Version: 1})}))
	f.Add(frames(f, typeResponse, &rpcResponse{Status: &rpcStatus{int32(CodeNotFound), "no container"}}, &rpcResponse{}))
	f.Add(frames(f, typeResponse, &rpcResponse{Payload: []byte{0xff}}))
	f.Add(frames(f, typeRequest, &rpcRequest{}))
	f.Add([]byte{0, 0x40, 0, 1, 0, 0, 0, 1, typeResponse, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		asked := make(chan struct{})
		c := NewConn(script{io.MultiReader(after{asked}, bytes.NewReader(data)), func([]byte) { close(asked) }})
		var resp HelloResponse
		if err := c.Call(nil, "Hello", &HelloRequest{}, &resp); err == nil && len(data) < ttrpcHeader {
			t.Fatalf("an answer of %d bytes is accepted: %+v", len(data), resp)
		}
	})
}

// after reads nothing, once something has happened.
type after struct{ event <-chan struct{} }

func (a after) Read([]byte) (int, error) {
	<-a.event
	return 0, io.EOF
}
