package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// decode is json.Unmarshal with errors that name the field, or the line and
// column.
func decode(raw []byte, into any) error {
	err := json.Unmarshal(raw, into)
	if err == nil {
		return nil
	}
	if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return &ConfigError{Field: te.Field, Reason: fmt.Sprintf("is a JSON %s, want %s", te.Value, jsonType(te.Type)), Err: err}
	}
	if se, ok := errors.AsType[*json.SyntaxError](err); ok {
		line, column := position(raw, se.Offset)
		return &ConfigError{Reason: fmt.Sprintf("line %d, column %d: %v", line, column, se), Err: err}
	}
	return &ConfigError{Reason: err.Error(), Err: err}
}

// position turns a byte offset, as json counts it (bytes read), into line and
// column, both from 1.
func position(raw []byte, offset int64) (line, column int) {
	read := raw[:min(max(offset, 0), int64(len(raw)))]
	line = 1 + bytes.Count(read, []byte{'\n'})
	return line, max(1, len(read)-1-bytes.LastIndexByte(read, '\n'))
}

// jsonType describes a Go type to somebody who writes JSON.
func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return jsonType(t.Elem())
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("an integer from 0 to 2^%d-1", t.Bits())
	default:
		return fmt.Sprintf("a %d-bit integer", t.Bits())
	}
}
