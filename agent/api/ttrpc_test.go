package api

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

const patience = time.Minute

// testMethods is a small agent. block, if not nil, holds up Wait.
func testMethods(block <-chan struct{}) map[string]Handler {
	return map[string]Handler{
		"Hello": Method(func(r *HelloRequest) (*HelloResponse, error) {
			return &HelloResponse{Version: r.Version, KernelRelease: "7.2.0", UptimeNs: 1 << 40}, nil
		}),
		"Wait": Method(func(*ProcessRequest) (*WaitResponse, error) {
			if block != nil {
				<-block
			}
			return &WaitResponse{Status: 137}, nil
		}),
		"Signal": Method(func(r *SignalRequest) (*Empty, error) {
			if r.ID == "" {
				return nil, errors.New("plain")
			}
			return nil, fmt.Errorf("wrapped: %w", &Error{CodeNotFound, "no container " + r.ID})
		}),
		"Exec": Method(func(*ExecRequest) (*StartResponse, error) {
			return nil, &Error{CodeNoCommand, `exec: "nope": executable file not found in $PATH`}
		}),
		"Processes": Method(func(*ProcessRequest) (*ProcessesResponse, error) {
			return &ProcessesResponse{Processes: []ProcessInfo{{Command: strings.Repeat("x", MaxMessage)}}}, nil
		}),
	}
}

func startAgent(t *testing.T, methods map[string]Handler) (Agent, <-chan error) {
	t.Helper()
	a, b := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- Serve(b, methods) }()
	conn := NewConn(a)
	t.Cleanup(func() { conn.Close(); b.Close() })
	return Agent{conn}, served
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func TestCall(t *testing.T) {
	agent, served := startAgent(t, testMethods(nil))
	got, err := agent.Hello(deadline(t), &HelloRequest{Version: 9})
	if err != nil || got.Version != 9 || got.KernelRelease != "7.2.0" || got.UptimeNs != 1<<40 {
		t.Errorf("%+v, %v", got, err)
	}
	agent.Close()
	if err := <-served; err != nil {
		t.Errorf("Serve, after the client's end: %v", err)
	}
}

func TestErrorsKeepTheirCode(t *testing.T) {
	agent, _ := startAgent(t, testMethods(nil))
	ctx := deadline(t)
	call := func(_ any, err error) error { return err }
	tests := []struct {
		err     error
		code    Code
		message string
	}{
		{agent.Signal(ctx, &SignalRequest{ID: "c"}), CodeNotFound, "wrapped: no container c"},
		{agent.Signal(ctx, &SignalRequest{}), CodeUnknown, "plain"},
		{call(agent.Exec(ctx, &ExecRequest{})), CodeNoCommand, `exec: "nope"`},
		{agent.Remove(ctx, &ProcessRequest{}), CodeUnimplemented, "kata.agent.v1.Agent/Remove"},
		{call(agent.Processes(ctx, &ProcessRequest{})), CodeUnknown, "too large"},
		{agent.Call(ctx.Done(), "Hello", &Mount{Source: "no number"}, &Empty{}), CodeInvalid, "HelloRequest.Version"},
	}
	for _, tt := range tests {
		e, ok := errors.AsType[*Error](tt.err)
		if !ok || e.Code != tt.code || !strings.Contains(e.Message, tt.message) {
			t.Errorf("got %v, want code %d and %q", tt.err, tt.code, tt.message)
		}
	}
}

func TestConcurrentCalls(t *testing.T) {
	block := make(chan struct{})
	agent, _ := startAgent(t, testMethods(block))
	ctx := deadline(t)
	waited := make(chan error, 1)
	go func() {
		_, err := agent.Wait(ctx, &ProcessRequest{ID: "c"})
		waited <- err
	}()
	var wg sync.WaitGroup
	for i := range uint32(100) {
		wg.Go(func() {
			got, err := agent.Hello(ctx, &HelloRequest{Version: i})
			if err != nil || got.Version != i {
				t.Errorf("call %d: %+v, %v", i, got, err)
			}
		})
	}
	wg.Wait()
	select {
	case err := <-waited:
		t.Fatalf("Wait returned early: %v", err)
	default:
	}
	close(block)
	if err := <-waited; err != nil {
		t.Error(err)
	}
}

func TestCancelledCallAbandonsOnlyItself(t *testing.T) {
	block := make(chan struct{})
	agent, _ := startAgent(t, testMethods(block))
	ctx, cancel := context.WithCancel(deadline(t))
	cancel()
	if _, err := agent.Wait(ctx, &ProcessRequest{}); err == nil || !strings.Contains(err.Error(), "no answer to Wait in time") {
		t.Errorf("a cancelled call: %v", err)
	}
	close(block) // the late answer is nobody's
	if _, err := agent.Hello(deadline(t), &HelloRequest{}); err != nil {
		t.Errorf("the call after it: %v", err)
	}
}

func TestEndOfConnection(t *testing.T) {
	frame := func(n uint32, kind byte, body string) string {
		b := binary.BigEndian.AppendUint32(nil, n)
		b = binary.BigEndian.AppendUint32(b, 1)
		return string(append(b, kind, 0)) + body
	}
	tests := []struct{ name, bytes, want string }{
		{"closed", "", "EOF"},
		{"cut", frame(10, typeResponse, "abc"), "unexpected EOF"},
		{"oversize", frame(MaxMessage+1, typeResponse, ""), "exceed the limit"},
		{"request", frame(0, typeRequest, ""), "type 1"},
		{"garbage", frame(1, typeResponse, "\xff"), "truncated"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := net.Pipe()
			agent := Agent{NewConn(a)}
			go func() {
				_, _, _, _ = readMessageFrame(b)
				_, _ = io.WriteString(b, tt.bytes)
				b.Close()
			}()
			for range 2 { // the call that waits, and one that comes later
				_, err := agent.Hello(deadline(t), &HelloRequest{})
				if err == nil || !strings.Contains(err.Error(), "agent: ") || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
			}
		})
	}
}

// TestAgentThatTakesNothing: the time of a call is also the time for its request to be
// taken, and the call that stands in the way holds nobody up for longer.
func TestAgentThatTakesNothing(t *testing.T) {
	a, b := net.Pipe()
	agent := Agent{NewConn(a)}
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := agent.Hello(ctx, &HelloRequest{})
		cancel()
		if err == nil || err.Error() != "agent: no answer to Hello in time" {
			t.Errorf("%v", err)
		}
	}
	go func() { _ = Serve(b, testMethods(nil)) }() // it was only slow
	if got, err := agent.Hello(deadline(t), &HelloRequest{Version: 3}); err != nil || got.Version != 3 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestServeRefusesGarbage(t *testing.T) {
	a, b := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- Serve(b, nil) }()
	go func() { _, _ = a.Write([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, typeRequest, 0}) }()
	if err := <-served; !errors.Is(err, errTooLarge) {
		t.Errorf("%v, want errTooLarge", err)
	}
}

func dynamic(t *testing.T, name string) *dynamicpb.Message {
	t.Helper()
	return dynamicpb.NewMessage(load(t).Messages().ByName(protoreflect.Name(name)))
}

func fieldOf(m *dynamicpb.Message, name string) protoreflect.FieldDescriptor {
	return m.Descriptor().Fields().ByName(protoreflect.Name(name))
}

// containerd's client talks to our server.
func TestTTRPCClient(t *testing.T) {
	a, b := net.Pipe()
	go func() { _ = Serve(b, testMethods(nil)) }()
	client := ttrpc.NewClient(a)
	t.Cleanup(func() { client.Close() })
	ctx := ttrpc.WithMetadata(deadline(t), ttrpc.MD{"key": {"value"}})
	req, resp := dynamic(t, "HelloRequest"), dynamic(t, "HelloResponse")
	req.Set(fieldOf(req, "version"), protoreflect.ValueOfUint32(3))
	var wg sync.WaitGroup
	wg.Go(func() {
		wait := dynamic(t, "WaitResponse")
		if err := client.Call(ctx, Service, "Wait", dynamic(t, "ProcessRequest"), wait); err != nil {
			t.Error(err)
		}
		if got := wait.Get(fieldOf(wait, "status")).Uint(); got != 137 {
			t.Errorf("status %d", got)
		}
	})
	if err := client.Call(ctx, Service, "Hello", req, resp); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if got := resp.Get(fieldOf(resp, "version")).Uint(); got != 3 {
		t.Errorf("version %d", got)
	}
	signal := dynamic(t, "SignalRequest")
	signal.Set(fieldOf(signal, "id"), protoreflect.ValueOfString("c"))
	if err := client.Call(ctx, Service, "Signal", signal, dynamic(t, "Empty")); status.Code(err) != codes.NotFound {
		t.Errorf("%v, want NotFound", err)
	}
	if err := client.Call(ctx, "other.Service", "Hello", req, resp); status.Code(err) != codes.Unimplemented {
		t.Errorf("%v, want Unimplemented", err)
	}
}

// Our client talks to containerd's server.
func TestTTRPCServer(t *testing.T) {
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	server.Register(Service, map[string]ttrpc.Method{
		"Hello": func(_ context.Context, unmarshal func(any) error) (any, error) {
			req, resp := dynamic(t, "HelloRequest"), dynamic(t, "HelloResponse")
			if err := unmarshal(req); err != nil {
				return nil, err
			}
			resp.Set(fieldOf(resp, "version"), req.Get(fieldOf(req, "version")))
			return resp, nil
		},
		"Remove": func(context.Context, func(any) error) (any, error) {
			return nil, status.Error(codes.FailedPrecondition, "it runs")
		},
	})
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(context.WithoutCancel(t.Context()), l) }()
	t.Cleanup(func() { server.Close() })
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	agent := Agent{NewConn(c)}
	t.Cleanup(func() { agent.Close() })
	var wg sync.WaitGroup
	for i := range uint32(20) {
		wg.Go(func() {
			if got, err := agent.Hello(deadline(t), &HelloRequest{Version: i + 1}); err != nil || got.Version != i+1 {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	wg.Wait()
	err = agent.Remove(deadline(t), &ProcessRequest{ID: "c"})
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != CodePrecondition || e.Message != "it runs" {
		t.Errorf("%v, want code %d", err, CodePrecondition)
	}
	if e, ok := errors.AsType[*Error](agent.Shutdown(deadline(t))); !ok || e.Code != CodeUnimplemented {
		t.Errorf("%v, want code %d", e, CodeUnimplemented)
	}
}
