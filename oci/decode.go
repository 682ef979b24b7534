package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode"
)

// decode is json.Unmarshal with errors that name the field, or the line and
// column.
func decode(raw []byte, into any) error {
	err := json.Unmarshal(raw, into)
	if err == nil {
		return nil
	}
	if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return &ConfigError{Field: fieldAt(raw, te.Offset), Reason: fmt.Sprintf("is a JSON %s, want %s", te.Value, jsonType(te.Type)), Err: err}
	}
	if se, ok := errors.AsType[*json.SyntaxError](err); ok {
		line, column := position(raw, se.Offset)
		return &ConfigError{Reason: fmt.Sprintf("line %d, column %d: %v", line, column, se), Err: err}
	}
	return &ConfigError{Reason: err.Error(), Err: err}
}

// fieldAt names the value that the decoder did not like: it ends at the offset or,
// if it is an array or an object, begins there. The decoder's own name lacks indices
// and keys, and has the names of embedded Go types.
func fieldAt(raw []byte, offset int64) string {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var open []element
	for {
		token, err := dec.Token()
		if err != nil {
			return ""
		}
		delim, _ := token.(json.Delim)
		if closing := delim == ']' || delim == '}'; closing {
			open = open[:len(open)-1]
			continue
		}
		if n := len(open) - 1; n >= 0 && open[n].next(token) {
			continue
		}
		if dec.InputOffset() >= offset {
			return join(open)
		}
		if delim != 0 {
			open = append(open, element{array: delim == '[', index: -1})
		}
	}
}

// element is where a walk is in an array or an object.
type element struct {
	array bool
	index int    // in an array
	key   string // in an object
	named bool   // the key has been read, its value comes next
}

// next takes the beginning of an element and reports whether that is only its key.
func (e *element) next(token json.Token) bool {
	if e.array {
		e.index++
		return false
	}
	if e.named = !e.named; e.named {
		e.key, _ = token.(string)
	}
	return e.named
}

func join(open []element) string {
	var b strings.Builder
	for _, e := range open {
		switch {
		case e.array:
			fmt.Fprintf(&b, "[%d]", e.index)
		case strings.ContainsFunc(e.key, odd) || e.key == "":
			fmt.Fprintf(&b, "[%q]", e.key)
		default:
			b.WriteString("." + e.key)
		}
	}
	return strings.TrimPrefix(b.String(), ".")
}

// odd characters of a key ask for quotes.
func odd(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-./", r)
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
