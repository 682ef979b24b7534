package oci

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// writeBundle makes a bundle with an empty rootfs and the given config.json.
func writeBundle(t *testing.T, config []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ConfigName), config, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestLoad(t *testing.T) {
	spec := DefaultSpec()
	spec.Root.Path = "link"
	spec.Mounts = []specs.Mount{
		{Destination: "data", Source: "vol", Options: []string{"rbind"}},
		{Destination: "/abs", Source: "/vol", Type: "bind"},
		{Destination: "/proc", Source: "proc", Type: "proc"},
	}
	spec.Process.Capabilities.Bounding = []string{"CAP_KILL", "CAP_FLY"}
	raw := marshal(t, spec)
	dir := writeBundle(t, raw)
	if err := os.Symlink("rootfs", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Dir(dir))

	b, err := Load(filepath.Base(dir))
	if err != nil {
		t.Fatal(err)
	}
	if b.Dir != dir || b.Rootfs != filepath.Join(dir, "rootfs") || string(b.Raw) != string(raw) {
		t.Errorf("Dir %q, Rootfs %q, want %q and its rootfs, and Raw unchanged", b.Dir, b.Rootfs, dir)
	}
	for i, want := range []struct{ destination, source string }{
		{"/data", filepath.Join(dir, "vol")}, {"/abs", "/vol"}, {"/proc", "proc"},
	} {
		if m := b.Spec.Mounts[i]; m.Destination != want.destination || m.Source != want.source {
			t.Errorf("mount %d is %q from %q, want %q from %q", i, m.Destination, m.Source, want.destination, want.source)
		}
	}
	warnings := strings.Join(b.Warnings, "\n")
	for _, want := range []string{`mounts[0].destination: "data"`, `process.capabilities.bounding: ignoring unknown capabilities ["CAP_FLY"]`} {
		if !strings.Contains(warnings, want) {
			t.Errorf("warnings %q lack %q", warnings, want)
		}
	}
}

func TestLoadMissing(t *testing.T) {
	empty := t.TempDir()
	for dir, want := range map[string]string{
		filepath.Join(empty, "no"): "bundle directory " + empty + "/no: no such file or directory",
		empty:                      "JSON specification file config.json not found in " + empty + ": no such file or directory",
	} {
		_, err := Load(dir)
		if !errors.Is(err, fs.ErrNotExist) || err.Error() != want {
			t.Errorf("Load(%s) = %v, want %s", dir, err, want)
		}
	}
}

func TestLoadOddFiles(t *testing.T) {
	t.Run("bundle is a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "f")
		os.WriteFile(file, nil, 0o600)
		wantError(t, file, "not a directory")
	})
	t.Run("config.json is a fifo", func(t *testing.T) {
		dir := t.TempDir()
		if err := syscall.Mkfifo(filepath.Join(dir, ConfigName), 0o600); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		wantError(t, dir, "config.json: not a regular file")
		if time.Since(start) > time.Second {
			t.Error("Load waited for a writer")
		}
	})
	t.Run("config.json is huge", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, ConfigName)
		os.WriteFile(path, nil, 0o600)
		if err := os.Truncate(path, 1<<40); err != nil {
			t.Fatal(err)
		}
		wantError(t, dir, "config.json: larger than 16 MiB")
	})
	t.Run("rootfs is missing", func(t *testing.T) {
		dir := writeBundle(t, marshal(t, DefaultSpec()))
		os.Remove(filepath.Join(dir, "rootfs"))
		wantError(t, dir, "config.json: root.path: "+dir+"/rootfs: no such file or directory")
	})
	t.Run("rootfs is a file", func(t *testing.T) {
		dir := writeBundle(t, marshal(t, DefaultSpec()))
		os.Remove(filepath.Join(dir, "rootfs"))
		os.WriteFile(filepath.Join(dir, "rootfs"), nil, 0o600)
		wantError(t, dir, "config.json: root.path: "+dir+"/rootfs: not a directory")
	})
}

func wantError(t *testing.T, dir, want string) {
	t.Helper()
	_, err := Load(dir)
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("Load = %v, want one line with %q", err, want)
	}
}

func TestLoadMalformed(t *testing.T) {
	for _, tc := range []struct{ name, config, want string }{
		{"empty", ``, "config.json: line 1, column 1: unexpected end of JSON input"},
		{"null", `null`, "config.json: ociVersion: is missing"},
		{"syntax", "{\n  \"ociVersion\": \"1.0.0\",\n  oops\n}", "config.json: line 3, column 3: invalid character 'o'"},
		{"trailing", `{} {}`, "config.json: line 1, column 4: invalid character '{' after top-level value"},
		{"array", `[]`, "config.json: is a JSON array, want an object"},
		{"args", `{"process":{"args":"sh"}}`, "config.json: process.args: is a JSON string, want an array"},
		{"arg", `{"process":{"args":["sh",1]}}`, "config.json: process.args[1]: is a JSON number, want a string"},
		{"uid", `{"process":{"user":{"uid":-1}}}`, "config.json: process.user.uid: is a JSON number -1, want an integer from 0 to 2^32-1"},
		{"terminal", `{"process":{"terminal":"yes"}}`, "config.json: process.terminal: is a JSON string, want true or false"},
		{"limit", `{"linux":{"resources":{"memory":{"limit":1.5}}}}`, "config.json: linux.resources.memory.limit: is a JSON number 1.5, want a 64-bit integer"},
		{"second of many", `{"mounts":[{"destination":"/a","options":["ro",{"x":[1]}]}],"hostname":1}`, `config.json: mounts[0].options[1]: is a JSON object`},
		{"odd key", `{"annotations":{"a":"", "b\nc":1}}`, `config.json: annotations["b\nc"]: is a JSON number`},
		{"annotations", `{"annotations":[]}`, "config.json: annotations: is a JSON array, want an object"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := writeBundle(t, []byte(tc.config))
			wantError(t, dir, tc.want)
			_, err := Load(dir)
			if _, ok := errors.AsType[*ConfigError](err); !ok {
				t.Errorf("%T is no *ConfigError", err)
			}
		})
	}
}

func FuzzLoadSpec(f *testing.F) {
	seeds, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range seeds {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add(marshal(f, DefaultSpec()))
	f.Fuzz(func(t *testing.T, raw []byte) {
		spec, _, err := parse(raw)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error has more than one line: %q", err)
			}
			return
		}
		// What was accepted has what the runtime goes on to use, and stays accepted.
		if len(spec.Process.Args) == 0 || spec.Root.Path == "" {
			t.Error("accepted without args or root")
		}
		for _, m := range spec.Mounts {
			if m.Destination[0] != '/' {
				t.Errorf("mount destination %q", m.Destination)
			}
		}
		if _, _, err := parse(marshal(t, spec)); err != nil {
			t.Errorf("accepted, but not after a round trip: %v", err)
		}
	})
}
