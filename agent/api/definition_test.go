package api

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// messages are the Go side of agent.proto.
var messages = []any{Empty{}, HelloRequest{}, HelloResponse{}, SandboxRequest{}, Mount{}, IDMap{}, IDMapping{}, TimeOffset{}, Rlimit{}, Capabilities{},
	Process{}, Device{}, KeyValue{}, CreateRequest{}, ProcessRequest{}, ExecRequest{}, StartResponse{}, SignalRequest{},
	WaitResponse{}, Hook{}, Join{}, ResizeRequest{}, ProcessesResponse{}, ProcessInfo{},
	Seccomp{}, Scheduler{}, FreezeRequest{}, UpdateRequest{}, StatsResponse{},
	InterfaceRequest{}, InterfaceAddress{}, Route{}, Neighbour{}, NameserverRequest{}, DisksResponse{}, Disk{}, ProcessorsRequest{}, DiskRequest{}, MemoryResponse{}}

var (
	messageLine = regexp.MustCompile(`^message (\w+) \{(\})?$`)
	fieldLine   = regexp.MustCompile(`^(repeated )?(\w+) (\w+) = (\d+);$`)
	rpcLine     = regexp.MustCompile(`^rpc (\w+)\((\w+)\) returns \((\w+)\);$`)
)

var scalarTypes = map[string]descriptorpb.FieldDescriptorProto_Type{
	"uint32": descriptorpb.FieldDescriptorProto_TYPE_UINT32, "uint64": descriptorpb.FieldDescriptorProto_TYPE_UINT64,
	"int32": descriptorpb.FieldDescriptorProto_TYPE_INT32, "int64": descriptorpb.FieldDescriptorProto_TYPE_INT64,
	"bool": descriptorpb.FieldDescriptorProto_TYPE_BOOL, "string": descriptorpb.FieldDescriptorProto_TYPE_STRING,
	"bytes": descriptorpb.FieldDescriptorProto_TYPE_BYTES,
}

// parseField reads one field's line.
func parseField(m []string) *descriptorpb.FieldDescriptorProto {
	n, _ := strconv.Atoi(m[4]) // the expression matches digits only
	f := &descriptorpb.FieldDescriptorProto{Name: proto.String(m[3]), JsonName: proto.String(m[3]), Number: proto.Int32(int32(n)),
		Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	if m[1] != "" {
		f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	}
	if t, ok := scalarTypes[m[2]]; ok {
		f.Type = t.Enum()
	} else {
		f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), proto.String(".kata.agent.v1."+m[2])
	}
	return f
}

// definition is agent.proto, parsed as far as that file goes and then checked by
// the protobuf library itself.
var definition = sync.OnceValues(func() (protoreflect.FileDescriptor, error) {
	text, err := os.ReadFile("agent.proto")
	if err != nil {
		return nil, err
	}
	file := &descriptorpb.FileDescriptorProto{Name: proto.String("agent.proto"), Package: proto.String("kata.agent.v1"),
		Syntax: proto.String("proto3"), Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Agent")}}}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if m := messageLine.FindStringSubmatch(line); m != nil {
			file.MessageType = append(file.MessageType, &descriptorpb.DescriptorProto{Name: proto.String(m[1])})
		} else if m := fieldLine.FindStringSubmatch(line); m != nil && len(file.MessageType) > 0 {
			last := file.MessageType[len(file.MessageType)-1]
			last.Field = append(last.Field, parseField(m))
		} else if m := rpcLine.FindStringSubmatch(line); m != nil {
			file.Service[0].Method = append(file.Service[0].Method, &descriptorpb.MethodDescriptorProto{Name: proto.String(m[1]),
				InputType: proto.String(".kata.agent.v1." + m[2]), OutputType: proto.String(".kata.agent.v1." + m[3])})
		} else if line != "" && line != "}" && !strings.HasPrefix(line, "//") && line != `syntax = "proto3";` &&
			line != "package kata.agent.v1;" && line != "service Agent {" {
			return nil, &os.PathError{Op: "parse", Path: "agent.proto", Err: strconv.ErrSyntax}
		}
	}
	return protodesc.NewFile(file, nil)
})

func load(t testing.TB) protoreflect.FileDescriptor {
	t.Helper()
	d, err := definition()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// protoType is what a Go field is in agent.proto.
func protoType(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Pointer:
		return protoType(t.Elem())
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return "bytes"
	case t.Kind() == reflect.Slice:
		return "repeated " + protoType(t.Elem())
	case t.Kind() == reflect.Struct:
		return t.Name()
	}
	return t.Kind().String()
}

func TestStructsMatchDefinition(t *testing.T) {
	file := load(t)
	if n := file.Messages().Len(); n != len(messages) {
		t.Errorf("agent.proto has %d messages, the test knows %d", n, len(messages))
	}
	for _, m := range messages {
		typ := reflect.TypeOf(m)
		d := file.Messages().ByName(protoreflect.Name(typ.Name()))
		if d == nil {
			t.Errorf("agent.proto lacks %s", typ.Name())
			continue
		}
		if d.Fields().Len() != typ.NumField() {
			t.Errorf("%s has %d fields, in agent.proto %d", typ.Name(), typ.NumField(), d.Fields().Len())
		}
		for i := range typ.NumField() {
			f := typ.Field(i)
			n, err := strconv.Atoi(f.Tag.Get("pb"))
			if err != nil {
				t.Errorf("%s.%s has no field number", typ.Name(), f.Name)
				continue
			}
			checkField(t, typ.Name()+"."+f.Name, f, d.Fields().ByNumber(protoreflect.FieldNumber(n)))
		}
	}
}

func checkField(t *testing.T, name string, f reflect.StructField, d protoreflect.FieldDescriptor) {
	t.Helper()
	if d == nil {
		t.Errorf("%s: agent.proto has no such number", name)
		return
	}
	if !strings.EqualFold(strings.ReplaceAll(string(d.Name()), "_", ""), f.Name) {
		t.Errorf("%s is called %s in agent.proto", name, d.Name())
	}
	got := d.Kind().String()
	if d.Kind() == protoreflect.MessageKind {
		got = string(d.Message().Name())
	}
	if d.IsList() {
		got = "repeated " + got
	}
	if want := protoType(f.Type); got != want {
		t.Errorf("%s is %s, in agent.proto %s", name, want, got)
	}
}

// Every struct of messages.go with field numbers must be known to the test above.
func TestEveryMessageIsTested(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "messages.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"Error": true} // travels as a status
	for _, m := range messages {
		known[reflect.TypeOf(m).Name()] = true
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if ts, ok := n.(*ast.TypeSpec); ok {
			if _, ok := ts.Type.(*ast.StructType); ok && !known[ts.Name.Name] {
				t.Errorf("%s is not in agent.proto", ts.Name.Name)
			}
		}
		return true
	})
}

func TestMethodsMatchDefinition(t *testing.T) {
	service := load(t).Services().ByName("Agent")
	if string(service.FullName()) != Service {
		t.Errorf("the service is %s, in agent.proto %s", Service, service.FullName())
	}
	var have, want []string
	client := reflect.TypeFor[Agent]()
	for i := range client.NumMethod() {
		m := client.Method(i)
		if m.Type.NumIn() < 2 || m.Type.In(1) != reflect.TypeFor[context.Context]() {
			continue // of Conn
		}
		in, out := "Empty", "Empty"
		if m.Type.NumIn() == 3 {
			in = m.Type.In(2).Elem().Name()
		}
		if m.Type.NumOut() == 2 {
			out = m.Type.Out(0).Elem().Name()
		}
		have = append(have, m.Name+" "+in+" "+out)
	}
	for i := range service.Methods().Len() {
		m := service.Methods().Get(i)
		want = append(want, string(m.Name()+" "+m.Input().Name()+" "+m.Output().Name()))
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("client: %q\nagent.proto: %q", have, want)
	}
}
