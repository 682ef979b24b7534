package compile

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/agent/api"
	"kata/oci"
	"kata/test/configs"
)

// otherPlatforms are sections of the configuration that are refused as a whole.
var otherPlatforms = []string{"solaris", "windows", "vm", "zos", "freebsd"}

// fieldsOf lists what a configuration can say: all fields of the specification's types
// that have a value of their own. "[0]" stands for any element, "*" for any key.
func fieldsOf(ty reflect.Type, path string) (list []string) {
	switch ty.Kind() {
	case reflect.Pointer:
		return fieldsOf(ty.Elem(), path)
	case reflect.Slice:
		return fieldsOf(ty.Elem(), path+"[0]")
	case reflect.Map:
		return fieldsOf(ty.Elem(), path+".*")
	case reflect.Struct:
		for i := range ty.NumField() {
			f := ty.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			at := strings.TrimPrefix(path+"."+name, ".")
			if name == "" { // embedded
				at = path
			}
			list = append(list, fieldsOf(f.Type, at)...)
		}
		return list
	default:
		section, _, _ := strings.Cut(path, ".")
		for _, p := range otherPlatforms {
			if p == section {
				return []string{section}
			}
		}
		return []string{path}
	}
}

// expand makes "a{b,c}d{e,f}" four.
func expand(pattern string) (list []string) {
	before, rest, ok := strings.Cut(pattern, "{")
	if !ok {
		return []string{pattern}
	}
	choices, after, _ := strings.Cut(rest, "}")
	for c := range strings.SplitSeq(choices, ",") {
		for _, tail := range expand(after) {
			list = append(list, before+c+tail)
		}
	}
	return list
}

// effect is all that a configuration makes a sandbox do, as far as this package says.
type effect struct {
	container *Container
	exec      *api.Process
	rootfs    string
}

func effectOf(t *testing.T, dir string, patches ...string) (*effect, error) {
	t.Helper()
	raw, err := configs.Patched(patches...)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, oci.ConfigName), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := oci.Load(dir)
	if err != nil {
		return nil, err
	}
	e := &effect{rootfs: b.Rootfs}
	if e.container, err = New("c", b); err == nil {
		e.exec, err = Exec(b.Spec.Process)
	}
	return e, err
}

// TestEveryFieldIsAppliedOrRefused takes the fields from the specification's types: a
// later version cannot add one unseen. What is said to be applied must make a
// difference, what is said to be refused must be refused by its name, and what is
// refused must be in the documentation.
func TestEveryFieldIsAppliedOrRefused(t *testing.T) {
	doc, err := os.ReadFile("../../docs/oci.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, d := range []string{"rootfs", "other"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	known := map[string]bool{} // true until it has been found in the types
	for _, f := range fieldTable {
		for _, path := range expand(f.path) {
			known[path] = true
		}
		t.Run(f.path, func(t *testing.T) { f.check(t, dir, string(doc)) })
	}
	for _, path := range fieldsOf(reflect.TypeFor[specs.Spec](), "") {
		if _, ok := known[path]; !ok {
			t.Errorf("%s: is in the specification's types, but not in the table of fields: apply it, or refuse it by its name", path)
		}
		known[path] = false
	}
	for path, left := range known {
		if left {
			t.Errorf("%s: is in the table of fields, but not in the specification's types", path)
		}
	}
}

func (f *fieldCase) check(t *testing.T, dir, doc string) {
	if f.change == "" {
		if f.elsewhere == "" {
			t.Error("says nothing")
		}
		return
	}
	before, err := effectOf(t, dir, f.base)
	if err != nil {
		t.Fatalf("before the change: %v", err)
	}
	after, err := effectOf(t, dir, f.base, f.change)
	if f.refused != "" {
		ce, ok := errors.AsType[*oci.ConfigError](err)
		if !ok || !strings.HasPrefix(ce.Field, f.refused) {
			t.Errorf("%v, want a refusal of %s", err, f.refused)
		}
		if documented := strings.TrimPrefix(f.refused, "linux.resources."); !strings.Contains(doc, documented) {
			t.Errorf("docs/oci.md does not say that %s is refused", documented)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	same := reflect.DeepEqual(before, after)
	if f.elsewhere == "" && same {
		t.Errorf("%s makes no difference: it is ignored", f.change)
	}
	if f.elsewhere != "" && !same {
		t.Errorf("%s makes a difference here, and not only as the table says: %s", f.change, f.elsewhere)
	}
}
