package api

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// fill gives every field some value, the same for the same seed.
func fill(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(r, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i))
		}
	case reflect.Slice:
		n := r.IntN(4)
		if n == 0 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(r, v.Index(i))
		}
	case reflect.String:
		v.SetString(strings.Repeat("Zürich ", r.IntN(40)))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 1)
	case reflect.Int32, reflect.Int64:
		v.SetInt(int64(r.Uint64()) >> r.IntN(64))
	default:
		v.SetUint(r.Uint64() >> r.IntN(64))
	}
}

func TestRoundTrip(t *testing.T) {
	file := load(t)
	for _, m := range messages {
		typ := reflect.TypeOf(m)
		t.Run(typ.Name(), func(t *testing.T) {
			d := file.Messages().ByName(protoreflect.Name(typ.Name()))
			for seed := range uint64(50) {
				in := reflect.New(typ)
				if seed > 0 { // the first is all zero
					fill(rand.New(rand.NewPCG(seed, 0)), in.Elem())
				}
				wire := Marshal(in.Interface())
				check(t, typ, in, wire)
				// The protobuf library reads our bytes, knows every field, and what
				// it writes we read.
				theirs := dynamicpb.NewMessage(d)
				if err := proto.Unmarshal(wire, theirs); err != nil {
					t.Fatal(err)
				}
				if len(theirs.GetUnknown()) > 0 {
					t.Errorf("unknown to protobuf: %x", theirs.GetUnknown())
				}
				again, err := proto.MarshalOptions{Deterministic: true}.Marshal(theirs)
				if err != nil {
					t.Fatal(err)
				}
				check(t, typ, in, again)
				if !bytes.Equal(wire, again) {
					t.Errorf("seed %d: ours %x\nprotobuf's %x", seed, wire, again)
				}
			}
		})
	}
}

func check(t *testing.T, typ reflect.Type, in reflect.Value, wire []byte) {
	t.Helper()
	out := reflect.New(typ)
	if err := Unmarshal(wire, out.Interface()); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(in.Interface(), out.Interface()) {
		t.Fatalf("sent %+v, got %+v", in.Elem(), out.Elem())
	}
}

func TestUnknownFieldsAreSkipped(t *testing.T) {
	var b []byte
	b = protowire.AppendVarint(protowire.AppendTag(b, 1000, protowire.VarintType), 1<<63)
	b = protowire.AppendFixed32(protowire.AppendTag(b, 1001, protowire.Fixed32Type), 7)
	b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), "c1")
	b = protowire.AppendFixed64(protowire.AppendTag(b, 1002, protowire.Fixed64Type), 7)
	b = protowire.AppendBytes(protowire.AppendTag(b, 1003, protowire.BytesType), []byte("new"))
	b = protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.VarintType), 15)
	var got SignalRequest
	if err := Unmarshal(b, &got); err != nil || got != (SignalRequest{ID: "c1", Signal: 15}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// Protobuf lets a writer choose between packed and not, repeat a field (the last
// one counts), and split a message (the parts merge).
func TestLiberalForms(t *testing.T) {
	var p Process
	var b []byte
	b = protowire.AppendVarint(protowire.AppendTag(b, 6, protowire.VarintType), 5)
	b = protowire.AppendBytes(protowire.AppendTag(b, 6, protowire.BytesType), []byte{6, 7})
	b = protowire.AppendVarint(protowire.AppendTag(b, 4, protowire.VarintType), 1)
	b = protowire.AppendVarint(protowire.AppendTag(b, 4, protowire.VarintType), 2)
	b = protowire.AppendBytes(protowire.AppendTag(b, 7, protowire.BytesType), []byte{1 << 3, 1})
	b = protowire.AppendBytes(protowire.AppendTag(b, 7, protowire.BytesType), []byte{2 << 3, 2})
	if err := Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	want := Process{UID: 2, Groups: []uint32{5, 6, 7}, Capabilities: Capabilities{Bounding: 1, Effective: 2}}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got %+v, want %+v", p, want)
	}
}

func TestTruncatedMessages(t *testing.T) {
	in := &CreateRequest{}
	fill(rand.New(rand.NewPCG(3, 0)), reflect.ValueOf(in).Elem())
	wire := Marshal(in)
	whole := 0
	for n := range len(wire) {
		if err := Unmarshal(wire[:n], &CreateRequest{}); err == nil {
			whole++ // cut between two fields
		}
	}
	if whole > 40 {
		t.Errorf("%d of %d truncated messages were taken for whole ones", whole, len(wire))
	}
}

func TestMalformedMessages(t *testing.T) {
	type nested struct {
		Next *nested `pb:"1"`
	}
	deep := []byte{}
	for range maxDepth + 1 {
		deep = protowire.AppendBytes([]byte{1<<3 | wireBytes}, deep)
	}
	tests := []struct {
		name, want string
		into       any
		wire       []byte
	}{
		{"tag", "truncated", &Empty{}, []byte{0x80}},
		{"tag too long", "truncated", &Empty{}, bytes.Repeat([]byte{0xff}, 11)},
		{"varint", "truncated", &HelloRequest{}, []byte{1 << 3, 0x80}},
		{"length", "truncated", &Mount{}, []byte{1<<3 | wireBytes, 5, 'a'}},
		{"huge length", "truncated", &Mount{}, append([]byte{1<<3 | wireBytes}, protowire.AppendVarint(nil, 1<<63)...)},
		{"fixed32", "truncated", &Empty{}, []byte{9<<3 | wireI32, 1, 2, 3}},
		{"fixed64", "truncated", &Empty{}, []byte{9<<3 | wireI64, 1, 2, 3}},
		{"group", "unknown wire type 3", &Empty{}, []byte{9<<3 | 3}},
		{"string as number", "wire type 0", &Mount{}, []byte{1 << 3, 1}},
		{"number as string", "wire type 2", &HelloRequest{}, []byte{1<<3 | wireBytes, 0}},
		{"message as number", "wire type 0", &ExecRequest{}, []byte{3 << 3, 1}},
		{"list of strings as number", "wire type 0", &Process{}, []byte{1 << 3, 1}},
		{"packed", "truncated", &Process{}, []byte{6<<3 | wireBytes, 1, 0x80}},
		{"names the field", "CreateRequest.Process: Process.Args", &CreateRequest{}, []byte{14<<3 | wireBytes, 2, 1 << 3, 1}},
		{"depth", "too deep", &nested{}, deep},
		{"list of empty messages", "more than", &ProcessesResponse{}, bytes.Repeat([]byte{1<<3 | wireBytes, 0}, maxElements+1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := Unmarshal(tt.wire, tt.into); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	if err := Unmarshal(deep[2:], &nested{}); err != nil {
		t.Errorf("a message of the greatest depth: %v", err)
	}
}

func FuzzUnmarshal(f *testing.F) {
	for i, m := range messages {
		v := reflect.New(reflect.TypeOf(m))
		fill(rand.New(rand.NewPCG(uint64(i), 1)), v.Elem())
		f.Add(Marshal(v.Interface()))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, m := range messages {
			typ := reflect.TypeOf(m)
			v := reflect.New(typ)
			if Unmarshal(data, v.Interface()) != nil {
				continue
			}
			again := reflect.New(typ)
			if err := Unmarshal(Marshal(v.Interface()), again.Interface()); err != nil {
				t.Fatalf("%s: what was read cannot be written: %v", typ.Name(), err)
			}
			normal := Marshal(again.Interface())
			if !bytes.Equal(normal, Marshal(v.Interface())) {
				t.Fatalf("%s: %+v is not stable", typ.Name(), v.Elem())
			}
		}
	})
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{"a": true, "a.b_c-d": true, "": false, ".": false, "..": false, "a/b": false,
		"a\x00": false, strings.Repeat("x", 256): true, strings.Repeat("x", 257): false} {
		if err := ValidName(name); (err == nil) != ok {
			t.Errorf("ValidName(%q): %v", name, err)
		}
	}
	if got := StreamName("c", "", 1); got != "c//1" {
		t.Errorf("StreamName: %q", got)
	}
}
