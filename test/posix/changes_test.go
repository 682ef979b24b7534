package posix

import (
	"bufio"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A guest answers questions about files, from inside a container.
type guest struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
}

func newGuest(t *testing.T, mounts ...specs.Mount) *guest {
	t.Helper()
	return serve(t, bundle(t, []string{"/posix", "--serve"}, mounts...))
}

// serve starts the guest of a bundle.
func serve(t *testing.T, bundle string) *guest {
	t.Helper()
	cmd := command(t, bundle)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return &guest{t, in, bufio.NewScanner(out)}
}

func (g *guest) ask(question string) string {
	g.t.Helper()
	if _, err := io.WriteString(g.in, question+"\n"); err != nil {
		g.t.Fatal(err)
	}
	if !g.out.Scan() {
		g.t.Fatalf("%s: no answer: %v", question, g.out.Err())
	}
	answer, err := strconv.Unquote(g.out.Text())
	if err != nil {
		g.t.Fatalf("%s: %q", question, g.out.Text())
	}
	return answer
}

func (g *guest) want(question, answer string) {
	g.t.Helper()
	if got := g.ask(question); got != answer {
		g.t.Errorf("%s: %q, want %q", question, got, answer)
	}
}

// must is for the host's side.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	must(t, os.WriteFile(name, []byte(text), 0o644))
}

func volumeAt(dir, target string) specs.Mount {
	return specs.Mount{Destination: target, Type: "bind", Source: dir, Options: []string{"rbind"}}
}

// What the host does is seen by the guest's next look, without a wait.
func TestHostChangesAreSeen(t *testing.T) {
	dir := directory(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("held"), "first")
	write(t, at("f"), "one")
	g := newGuest(t, volumeAt(dir, "/v"))
	g.want("hold /v/held", "")
	g.want("held", "first")
	g.want("cat /v/f", "one")

	write(t, at("f"), "two")
	g.want("cat /v/f", "two")
	write(t, at("held"), "other") // as long as before, while it is open in the guest
	g.want("held", "other")
	f, err := os.OpenFile(at("held"), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString(" and more")
	must(t, err)
	must(t, f.Close())
	g.want("more", "other and more")
	must(t, os.Truncate(at("held"), 3))
	g.want("held", "oth")
	must(t, os.Chmod(at("held"), 0o600))
	must(t, os.Chown(at("held"), 12, 34))
	g.want("stat /v/held", "100600 3 12:34")

	write(t, at("new"), "replacement")
	must(t, os.Rename(at("new"), at("held")))
	g.want("cat /v/held", "replacement") // the name
	g.want("held", "oth")                // the descriptor
	must(t, os.Mkdir(at("d"), 0o755))
	write(t, at("d/x"), "below")
	g.want("cat /v/d/x", "below")
	must(t, os.Rename(at("d"), at("e")))
	g.want("cat /v/e/x", "below")
	if got := g.ask("cat /v/d/x"); !strings.Contains(got, "no such file") {
		t.Errorf("a name that the host took away: %q", got)
	}
	must(t, os.Remove(at("f")))
	g.want("list /v", "e held ")
	g.want("put /v/made", "")
	if b, err := os.ReadFile(at("made")); err != nil || string(b) != "by the guest" {
		t.Errorf("on the host: %q, %v", b, err)
	}
}

// A ConfigMap is changed by one rename of a symbolic link.
func TestConfigMapSwap(t *testing.T) {
	dir := directory(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, v := range []string{"1", "2"} {
		must(t, os.Mkdir(at("..v"+v), 0o755))
		write(t, at("..v"+v+"/key"), "value "+v)
	}
	must(t, os.Symlink("..v1", at("..data")))
	must(t, os.Symlink("..data/key", at("key")))
	g := newGuest(t, volumeAt(dir, "/v"))
	g.want("cat /v/key", "value 1")
	g.want("watch /v", "")
	must(t, os.Symlink("..v2", at("..data_tmp")))
	must(t, os.Rename(at("..data_tmp"), at("..data")))
	g.want("events", "create ..data_tmp, moved_from ..data_tmp, moved_to ..data")
	g.want("cat /v/key", "value 2")
}

func TestInotify(t *testing.T) {
	dir := directory(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.Mkdir(at("s"), 0o755))
	for i := range 20 {
		write(t, at("s/f"+strconv.Itoa(i)), "")
	}
	g := newGuest(t, volumeAt(dir, "/v"))
	g.want("watch /v", "")
	for i := range 20 { // more than eight files
		g.want("watch /v/s/f"+strconv.Itoa(i), "")
	}
	write(t, at("new"), "text")
	g.want("events", "create new, modify new, close_write new")
	must(t, os.Chmod(at("new"), 0o600))
	g.want("events", "attrib new")
	must(t, os.Remove(at("new")))
	g.want("events", "delete new")
	must(t, os.Mkdir(at("d"), 0o755))
	g.want("events", "create d")
	write(t, at("s/f19"), "changed")
	g.want("events", "modify, close_write")
	must(t, os.Remove(at("s/f18")))
	if got := g.ask("events"); !strings.Contains(got, "delete_self, ignored") {
		t.Errorf("a watched file is removed: %q", got)
	}
	write(t, at("s/f18"), "") // perhaps with the number of the one that was removed
	g.want("watch /v/s/f18", "")
	write(t, at("s/f18"), "again")
	g.want("events", "modify, close_write")
	// What the guest does is not reported a second time.
	g.want("put /v/mine", "")
	g.want("chmod /v/mine", "")
	g.want("mv /v/mine /v/s/mine", "")
	g.want("events", "create mine, modify mine, close_write mine, attrib mine, moved_from mine")
}

// Files of two host file systems may have the same inode number; they are not
// one file.
func TestDevicesDiffer(t *testing.T) {
	a, b := directory(t), shm(t)
	write(t, filepath.Join(a, "f"), "")
	write(t, filepath.Join(b, "f"), "")
	g := newGuest(t, volumeAt(a, "/a"), volumeAt(b, "/b"))
	device := func(question string) string {
		dev, _, _ := strings.Cut(g.ask(question), " ")
		return dev
	}
	if device("id /a/f") == device("id /b/f") {
		t.Error("two file systems have one device number")
	}
	if device("id /a/f") != device("id /a") {
		t.Error("one file system has two device numbers")
	}
	if x, y := g.ask("id /a/f"), g.ask("id /a/f"); x != y {
		t.Errorf("the identity of a file changes: %s, %s", x, y)
	}
}

// shm makes a directory on another file system than directory's.
func shm(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "posix")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	return dir
}

// A socket of the host is a name in the guest, and nobody listens: the two have
// different kernels.
func TestHostSocketIsRefused(t *testing.T) {
	dir := directory(t)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	must(t, err)
	defer l.Close()
	g := newGuest(t, volumeAt(dir, "/v"))
	if got := g.ask("connect /v/s"); !strings.Contains(got, "connection refused") {
		t.Errorf("connect: %q", got)
	}
}
