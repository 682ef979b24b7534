package api

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"sync"
)

// The codec covers the part of protobuf (proto3) that agent.proto uses: varints,
// strings, bytes, messages, and repeated fields of these (scalars packed). A
// struct field takes part with a tag `pb:"N"`, N being its field number.

const (
	wireVarint = 0
	wireI64    = 1
	wireBytes  = 2
	wireI32    = 5

	maxDepth = 8
	// maxElements bounds a list of messages: an empty one takes two bytes on the
	// wire and a hundred in memory.
	maxElements = 1 << 15
)

var errTruncated = errors.New("message is truncated")

type field struct {
	num   int
	index int
}

var fieldCache sync.Map // reflect.Type -> []field

func fieldsOf(t reflect.Type) []field {
	if c, ok := fieldCache.Load(t); ok {
		return c.([]field)
	}
	var fs []field
	for i := range t.NumField() {
		if n, err := strconv.Atoi(t.Field(i).Tag.Get("pb")); err == nil {
			fs = append(fs, field{num: n, index: i})
		}
	}
	fieldCache.Store(t, fs)
	return fs
}

// Marshal encodes the message that m points to.
func Marshal(m any) []byte {
	return appendMessage(nil, reflect.ValueOf(m).Elem())
}

func appendMessage(b []byte, v reflect.Value) []byte {
	for _, f := range fieldsOf(v.Type()) {
		b = appendField(b, f.num, v.Field(f.index))
	}
	return b
}

func appendTag(b []byte, num, wire int) []byte {
	return binary.AppendUvarint(b, uint64(num)<<3|uint64(wire))
}

func appendField(b []byte, num int, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return b
		}
		return appendDelimited(b, num, appendMessage(nil, v.Elem()))
	case reflect.Struct:
		return appendDelimited(b, num, appendMessage(nil, v))
	case reflect.String:
		if v.Len() == 0 {
			return b
		}
		b = binary.AppendUvarint(appendTag(b, num, wireBytes), uint64(v.Len()))
		return append(b, v.String()...)
	case reflect.Slice:
		return appendSlice(b, num, v)
	default:
		if u := scalar(v); u != 0 {
			b = binary.AppendUvarint(appendTag(b, num, wireVarint), u)
		}
		return b
	}
}

func appendSlice(b []byte, num int, v reflect.Value) []byte {
	if v.Len() == 0 {
		return b
	}
	switch v.Type().Elem().Kind() {
	case reflect.Uint8:
		return appendDelimited(b, num, v.Bytes())
	case reflect.String:
		for i := range v.Len() { // an empty element is an element
			b = appendDelimited(b, num, []byte(v.Index(i).String()))
		}
		return b
	case reflect.Struct:
		for i := range v.Len() {
			b = appendDelimited(b, num, appendMessage(nil, v.Index(i)))
		}
		return b
	default:
		var packed []byte
		for i := range v.Len() {
			packed = binary.AppendUvarint(packed, scalar(v.Index(i)))
		}
		return appendDelimited(b, num, packed)
	}
}

func appendDelimited(b []byte, num int, p []byte) []byte {
	b = binary.AppendUvarint(appendTag(b, num, wireBytes), uint64(len(p)))
	return append(b, p...)
}

func scalar(v reflect.Value) uint64 {
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return 1
		}
		return 0
	case reflect.Int32, reflect.Int64:
		return uint64(v.Int())
	default:
		return v.Uint()
	}
}

// Unmarshal decodes b into the message that m points to. Unknown fields are
// skipped, as protobuf asks. It never panics on any input and allocates no more
// than a small multiple of len(b).
func Unmarshal(b []byte, m any) error {
	return readMessage(b, reflect.ValueOf(m).Elem(), 0)
}

func readMessage(b []byte, v reflect.Value, depth int) error {
	if depth > maxDepth {
		return errors.New("message is nested too deep")
	}
	fs := fieldsOf(v.Type())
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return errTruncated
		}
		b = b[n:]
		num, wire := int(tag>>3), int(tag&7)
		var u uint64
		var p []byte
		var err error
		if u, p, b, err = readValue(b, wire); err != nil {
			return err
		}
		for _, f := range fs {
			if f.num != num {
				continue
			}
			if err := setField(v.Field(f.index), wire, u, p, depth); err != nil {
				return fmt.Errorf("%s.%s: %w", v.Type().Name(), v.Type().Field(f.index).Name, err)
			}
		}
	}
	return nil
}

// readValue takes one value off b: a number for the scalar wire types, bytes
// that alias b for the delimited one.
func readValue(b []byte, wire int) (u uint64, p, rest []byte, err error) {
	switch wire {
	case wireVarint:
		u, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, nil, nil, errTruncated
		}
		return u, nil, b[n:], nil
	case wireBytes:
		l, n := binary.Uvarint(b)
		if n <= 0 || l > uint64(len(b)-n) {
			return 0, nil, nil, errTruncated
		}
		return 0, b[n : n+int(l)], b[n+int(l):], nil
	case wireI64, wireI32:
		size := map[int]int{wireI64: 8, wireI32: 4}[wire]
		if len(b) < size {
			return 0, nil, nil, errTruncated
		}
		return 0, nil, b[size:], nil
	}
	return 0, nil, nil, fmt.Errorf("unknown wire type %d", wire)
}

func setField(v reflect.Value, wire int, u uint64, p []byte, depth int) error {
	switch v.Kind() {
	case reflect.Slice:
		return setSlice(v, wire, u, p, depth)
	case reflect.Pointer, reflect.Struct, reflect.String:
		if wire != wireBytes {
			return fmt.Errorf("wire type %d for %s", wire, v.Kind())
		}
		switch v.Kind() {
		case reflect.String:
			v.SetString(string(p))
			return nil
		case reflect.Pointer:
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		return readMessage(p, v, depth+1)
	}
	if wire != wireVarint {
		return fmt.Errorf("wire type %d for a number", wire)
	}
	setScalar(v, u)
	return nil
}

func setScalar(v reflect.Value, u uint64) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(u != 0)
	case reflect.Int32:
		v.SetInt(int64(int32(u)))
	case reflect.Int64:
		v.SetInt(int64(u))
	case reflect.Uint32:
		v.SetUint(uint64(uint32(u)))
	default:
		v.SetUint(u)
	}
}

func setSlice(v reflect.Value, wire int, u uint64, p []byte, depth int) error {
	elem := v.Type().Elem()
	if wire == wireVarint {
		switch elem.Kind() {
		case reflect.Bool, reflect.Int32, reflect.Int64, reflect.Uint32, reflect.Uint64:
			e := reflect.New(elem).Elem()
			setScalar(e, u)
			v.Set(reflect.Append(v, e))
			return nil
		}
	}
	if wire != wireBytes {
		return fmt.Errorf("wire type %d for a list", wire)
	}
	switch elem.Kind() {
	case reflect.Uint8:
		v.SetBytes(append([]byte(nil), p...))
	case reflect.String:
		v.Set(reflect.Append(v, reflect.ValueOf(string(p))))
	case reflect.Struct:
		if v.Len() == maxElements {
			return fmt.Errorf("list has more than %d elements", maxElements)
		}
		e := reflect.New(elem).Elem()
		if err := readMessage(p, e, depth+1); err != nil {
			return err
		}
		v.Set(reflect.Append(v, e))
	default:
		for len(p) > 0 {
			u, n := binary.Uvarint(p)
			if n <= 0 {
				return errTruncated
			}
			e := reflect.New(elem).Elem()
			setScalar(e, u)
			v.Set(reflect.Append(v, e))
			p = p[n:]
		}
	}
	return nil
}
