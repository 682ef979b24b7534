package image

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const passwd = `root:x:0:0:root:/root:/bin/sh
# comment:x:5:5::/:/bin/sh
broken
app:x:1000:1001:App:/home/app:/bin/sh
bad:x:abc:1:::
2000:x:7:7:a number as a name:/:/bin/sh
`

const group = `root:x:0:root
bin:x:1:root,app
app:x:1001:
wheel:x:10:app,app
wheel2:x:10:app
short:x:11
`

func accounts(t *testing.T) string {
	d := t.TempDir()
	must(t, os.Mkdir(filepath.Join(d, "etc"), 0o755))
	must(t, os.WriteFile(filepath.Join(d, "etc/passwd"), []byte(passwd), 0o644))
	must(t, os.WriteFile(filepath.Join(d, "etc/group"), []byte(group), 0o644))
	return d
}

func TestResolveUser(t *testing.T) {
	d := accounts(t)
	for user, want := range map[string]specs.User{
		"":            {AdditionalGids: []uint32{0, 1}},
		"root":        {AdditionalGids: []uint32{0, 1}},
		"app":         {UID: 1000, GID: 1001, AdditionalGids: []uint32{1, 10}},
		"1000":        {UID: 1000, GID: 1001, AdditionalGids: []uint32{1, 10}},
		"app:":        {UID: 1000, GID: 1001, AdditionalGids: []uint32{1, 10}},
		"app:wheel":   {UID: 1000, GID: 10},
		"app:4242":    {UID: 1000, GID: 4242},
		"app:short":   {UID: 1000, GID: 11},
		"4242":        {UID: 4242},
		"4242:app":    {UID: 4242, GID: 1001},
		"2000":        {UID: 2000},
		":wheel":      {GID: 10},
		"4294967294":  {UID: 1<<32 - 2},
		"1000:000010": {UID: 1000, GID: 10},
	} {
		if got, err := ResolveUser(d, user); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, %v; want %+v", user, got, err, want)
		}
	}
	for user, want := range map[string]string{
		"nobody":     `user "nobody": no such user in the image's /etc/passwd`,
		"app:nobody": `user "app:nobody": no such group in the image's /etc/group`,
		"bad":        "no such user",
		"4294967295": "no such user",
		"-1":         "no such user",
		"app:-1":     "no such group",
	} {
		if _, err := ResolveUser(d, user); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", user, err, want)
		}
	}
}

func TestResolveUserWithoutFiles(t *testing.T) {
	d := t.TempDir()
	if u, err := ResolveUser(d, "7:8"); err != nil || u.UID != 7 || u.GID != 8 {
		t.Errorf("got %+v, %v", u, err)
	}
	if _, err := ResolveUser(d, "app"); err == nil {
		t.Error("a name was resolved without /etc/passwd")
	}
	if _, err := ResolveUser(filepath.Join(d, "no"), ""); err == nil {
		t.Error("a missing root filesystem was accepted")
	}
}

// TestResolveUserHostile: the host's accounts are not the image's.
func TestResolveUserHostile(t *testing.T) {
	host := accounts(t)
	for name, target := range map[string]string{
		"absolute": filepath.Join(host, "etc"),
		"relative": strings.Repeat("../", 20) + filepath.Join(host, "etc"),
		"magic":    "/proc/self/cwd",
	} {
		d := t.TempDir()
		must(t, os.Symlink(target, filepath.Join(d, "etc")))
		if u, err := ResolveUser(d, "app"); err == nil {
			t.Errorf("%s: got %+v from outside", name, u)
		}
	}

	d := t.TempDir()
	must(t, os.Mkdir(filepath.Join(d, "etc"), 0o755))
	must(t, syscall.Mkfifo(filepath.Join(d, "etc/passwd"), 0o644))
	start := time.Now()
	if _, err := ResolveUser(d, "app"); err == nil || time.Since(start) > time.Second {
		t.Errorf("fifo: %v after %v", err, time.Since(start))
	}
	must(t, os.Remove(filepath.Join(d, "etc/passwd")))
	must(t, os.WriteFile(filepath.Join(d, "etc/passwd"), nil, 0o644))
	must(t, os.Truncate(filepath.Join(d, "etc/passwd"), 1<<40))
	if _, err := ResolveUser(d, "app"); err == nil {
		t.Error("a huge file was read")
	}

	// Links inside of the image are followed, as the image means them.
	in := t.TempDir()
	must(t, os.Rename(filepath.Join(accounts(t), "etc"), filepath.Join(in, "usr")))
	must(t, os.Symlink("/usr", filepath.Join(in, "etc")))
	if u, err := ResolveUser(in, "app"); err != nil || u.UID != 1000 {
		t.Errorf("got %+v, %v", u, err)
	}
}

func TestApply(t *testing.T) {
	for _, tc := range []struct {
		name    string
		c       Config
		args    []string
		want    []string
		env     []string
		wantCwd string
	}{
		{"entrypoint and cmd", Config{Entrypoint: []string{"e"}, Cmd: []string{"c"}}, nil, []string{"e", "c"}, nil, "/"},
		{"args replace cmd", Config{Entrypoint: []string{"e"}, Cmd: []string{"c"}}, []string{"a", "b"}, []string{"e", "a", "b"}, nil, "/"},
		{"cmd only", Config{Cmd: []string{"c", "d"}, WorkingDir: "/srv"}, nil, []string{"c", "d"}, nil, "/srv"},
		{"nothing", Config{}, nil, nil, nil, "/"},
		{"relative directory", Config{WorkingDir: "srv/x"}, []string{"a"}, []string{"a"}, nil, "/srv/x"},
		{"env", Config{Env: []string{"PATH=/image", "NEW=1", "NEW=2"}}, []string{"a"}, []string{"a"}, []string{"PATH=/image", "TERM=xterm", "NEW=2"}, "/"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			spec := &specs.Spec{Process: &specs.Process{Args: []string{"sh"}, Env: []string{"PATH=/bin", "TERM=xterm"}, Terminal: true}}
			tc.c.Apply(spec, tc.args)
			p := spec.Process
			if tc.env == nil {
				tc.env = []string{"PATH=/bin", "TERM=xterm"}
			}
			if !reflect.DeepEqual(p.Args, tc.want) || !reflect.DeepEqual(p.Env, tc.env) || p.Cwd != tc.wantCwd || !p.Terminal {
				t.Errorf("got %+v", p)
			}
		})
	}
	spec := new(specs.Spec)
	Config{Cmd: []string{"c"}}.Apply(spec, nil)
	if spec.Process == nil || len(spec.Annotations) != 0 {
		t.Errorf("got %+v", spec)
	}
}
