package compile

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kata/oci"
)

// config is a line of testdata/configs: a change of the default configuration, and
// how its error begins; empty if it is accepted.
type config struct {
	heading, patch, want string
}

func configs(t *testing.T) (all []config) {
	t.Helper()
	text, err := os.ReadFile("testdata/configs")
	if err != nil {
		t.Fatal(err)
	}
	var heading string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if h, ok := strings.CutPrefix(line, "== "); ok {
			heading = h
		} else if line != "" && line[0] != '#' {
			patch, want, _ := strings.Cut(line, " => ")
			all = append(all, config{heading, patch, want})
		}
	}
	return all
}

// TestConfigs writes each configuration, loads it as every command does, and
// compiles it.
func TestConfigs(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, c := range configs(t) {
		count[c.heading]++
		if err := os.WriteFile(filepath.Join(dir, oci.ConfigName), patched(t, c.patch), 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := oci.Load(dir)
		if err == nil {
			_, err = New("c", b)
		}
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v, but runc accepts it", c.patch, err)
			}
			continue
		}
		ce, ok := errors.AsType[*oci.ConfigError](err)
		if !ok || !strings.HasPrefix(ce.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.patch, err, c.want)
			continue
		}
		if field, _, _ := strings.Cut(c.want, ": "); ce.Field != field || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q, want one line of %s", c.patch, err, field)
		}
	}
	if len(count) != 5 || count["accepted by both"] == 0 {
		t.Errorf("testdata/configs has the headings %v", count)
	}
}

// patched is the default configuration with a change, as JSON.
func patched(t *testing.T, patch string) []byte {
	t.Helper()
	spec := oci.DefaultSpec()
	spec.Process.Args, spec.Process.Terminal = []string{"true"}, false
	raw, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var document, change any
	if err := errors.Join(json.Unmarshal(raw, &document), json.Unmarshal([]byte(patch), &change)); err != nil {
		t.Fatalf("%s: %v", patch, err)
	}
	if raw, err = json.Marshal(merge(document, change)); err != nil {
		t.Fatal(err)
	}
	return raw
}

// merge applies a JSON merge patch (RFC 7396).
func merge(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for name, value := range changes {
		if value == nil {
			delete(object, name)
		} else {
			object[name] = merge(object[name], value)
		}
	}
	return object
}
