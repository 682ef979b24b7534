package oci

import (
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A walk visits every field of the specification's types, whatever version of them
// is linked: what they get next year is tested next year.
type walk struct {
	field string // as errors name it
	// in puts a value of the field into a document with only that.
	in func(value string) string
}

func (w walk) into(name string) walk {
	return walk{strings.TrimPrefix(w.field+"."+name, "."), func(v string) string { return w.in(fmt.Sprintf("{%q:%s}", name, v)) }}
}

func (w walk) element() walk {
	return walk{w.field + "[0]", func(v string) string { return w.in("[" + v + "]") }}
}

// each calls f with a field of type typ and with every field inside.
func (w walk) each(typ reflect.Type, f func(walk, reflect.Type)) {
	f(w, typ)
	w.inside(typ, f)
}

func (w walk) inside(typ reflect.Type, f func(walk, reflect.Type)) {
	switch typ.Kind() {
	case reflect.Pointer:
		w.inside(typ.Elem(), f)
	case reflect.Slice:
		w.element().each(typ.Elem(), f)
	case reflect.Map:
		w.into("key").each(typ.Elem(), f)
	case reflect.Struct:
		for i := range typ.NumField() {
			field := typ.Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if field.Anonymous {
				w.inside(field.Type, f)
			} else {
				w.into(name).each(field.Type, f)
			}
		}
	}
}

// wrong are values that a type cannot take.
func wrong(typ reflect.Type) []string {
	above := func(bits int) *big.Int { return new(big.Int).Lsh(big.NewInt(1), uint(bits)) }
	number := []string{`{}`, `[]`, `"1"`, `true`, `1.5`, `1e99`}
	switch typ.Kind() {
	case reflect.Pointer:
		return wrong(typ.Elem())
	case reflect.Struct, reflect.Map:
		return []string{`[]`, `"x"`, `1`, `true`}
	case reflect.Slice:
		return []string{`{}`, `"x"`, `1`, `false`}
	case reflect.Bool:
		return []string{`{}`, `[]`, `"true"`, `1`}
	case reflect.String:
		return []string{`{}`, `[]`, `1`, `true`}
	case reflect.Interface:
		return nil // takes all
	case reflect.Int, reflect.Int32, reflect.Int64:
		n := above(typ.Bits() - 1)
		return append(number, n.String(), new(big.Int).Not(n).String())
	default:
		return append(number, above(typ.Bits()).String(), "-1")
	}
}

func TestEveryFieldOfTheWrongType(t *testing.T) {
	fields := 0
	walk{in: func(v string) string { return v }}.each(reflect.TypeFor[specs.Spec](), func(w walk, typ reflect.Type) {
		fields++
		for _, value := range wrong(typ) {
			doc := w.in(value)
			_, _, err := parse([]byte(doc))
			ce, ok := errors.AsType[*ConfigError](err)
			switch {
			case !ok || strings.Contains(err.Error(), "\n"):
				t.Errorf("%s: %v, want one line that names %s", doc, err, w.field)
			case ce.Field != w.field || !strings.Contains(ce.Reason, "is a JSON"):
				t.Errorf("%s: %v, want that %s is of the wrong type", doc, err, w.field)
			}
		}
	})
	if fields < 300 {
		t.Errorf("only %d fields were found", fields)
	}
}

// TestUnknownFields puts one into every object (config.md, "Extensibility").
func TestUnknownFields(t *testing.T) {
	objects := 0
	walk{in: func(v string) string { return v }}.each(reflect.TypeFor[specs.Spec](), func(w walk, typ reflect.Type) {
		for typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct {
			return
		}
		objects++
		doc := w.in(`{"org.example.unknown": {"a": [1, null]}, "": 0}`)
		if err := decode([]byte(doc), new(specs.Spec)); err != nil {
			t.Errorf("%s: %v", doc, err)
		}
	})
	if objects < 50 {
		t.Errorf("only %d objects were found", objects)
	}
}
