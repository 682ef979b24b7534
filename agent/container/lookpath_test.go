package container

import (
	"errors"
	"os"
	"strings"
	"testing"

	"kata/agent/api"
)

func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"/a", "/b", "/b/dir"} {
		if err := os.Mkdir(dir+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"/a/plain": 0o644, "/b/plain": 0o644, "/a/both": 0o644, "/b/both": 0o755, "/b/tool": 0o700} {
		if err := os.WriteFile(dir+name, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	search := dir + "/a:" + dir + "/b"
	tests := []struct {
		name, path, cwd string
		want            string
		code            api.Code
		message         string
	}{
		{"tool", search, "/", dir + "/b/tool", 0, ""},
		{"both", search, "/", dir + "/b/both", 0, ""},
		{"plain", search, "/", "", api.CodeNotExecutable, "permission denied"},
		{"dir", search, "/", "", api.CodeNoCommand, "executable file not found in $PATH"},
		{"none", search, "/", "", api.CodeNoCommand, "executable file not found in $PATH"},
		{"tool", "", dir + "/b", "./tool", 0, ""},
		{"tool", ":/nowhere", dir + "/b", "./tool", 0, ""},
		{dir + "/b/tool", "", "/", dir + "/b/tool", 0, ""},
		{"./tool", "", dir + "/b", "./tool", 0, ""},
		{"b/tool", "", dir, "b/tool", 0, ""},
		{dir + "/a/plain", "", "/", "", api.CodeNotExecutable, "permission denied"},
		{dir + "/b", "", "/", "", api.CodeNotExecutable, "is a directory"},
		{dir + "/none", "", "/", "", api.CodeNoCommand, "no such file"},
		{dir + "/b/tool/x", "", "/", "", api.CodeNoCommand, "not a directory"},
		{"", search, "/", "", api.CodeInvalid, "no command"},
	}
	for _, tt := range tests {
		got, err := lookPath(&api.Process{Args: []string{tt.name}, Cwd: tt.cwd, Env: []string{"PATH=" + tt.path}})
		if tt.code == 0 {
			if err != nil || got != tt.want {
				t.Errorf("%q in %q: %q, %v; want %q", tt.name, tt.path, got, err, tt.want)
			}
			continue
		}
		e, ok := errors.AsType[*api.Error](err)
		if !ok || e.Code != tt.code || !strings.Contains(e.Message, tt.message) {
			t.Errorf("%q in %q: %v, want code %d, %q", tt.name, tt.path, err, tt.code, tt.message)
		}
	}
	if _, err := lookPath(&api.Process{}); err == nil {
		t.Error("no arguments at all, and no error")
	}
}

func TestEnv(t *testing.T) {
	list := []string{"A=1", "AB=2", "B=x=y", "EMPTY=", "A=3", "NONE"}
	for key, want := range map[string]string{"A": "3", "AB": "2", "B": "x=y", "EMPTY": "", "NONE": "", "C": ""} {
		if got := env(list, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}
