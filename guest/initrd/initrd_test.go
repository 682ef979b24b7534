package initrd

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// TestCpio has cpio(1), the format's own program, read what Write wrote.
func TestCpio(t *testing.T) {
	cpio, err := exec.LookPath("cpio")
	if err != nil {
		t.Fatalf("%v: run hack/setup.sh build", err)
	}
	var b bytes.Buffer
	const agent = "not a program, but 21"
	if err := Write(&b, strings.NewReader(agent), int64(len(agent))); err != nil {
		t.Fatal(err)
	}
	list := exec.Command(cpio, "-itv", "--quiet", "--numeric-uid-gid")
	list.Stdin = bytes.NewReader(b.Bytes())
	out, err := list.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got []string
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		got = append(got, f[0]+" "+f[2]+" "+f[len(f)-1])
	}
	want := []string{"drwxr-xr-x 0 dev", "crw------- 0 dev/console", "drwxr-xr-x 0 proc", "drwxr-xr-x 0 run",
		"drwxr-xr-x 0 sys", "drwxrwxrwt 0 tmp", "-rwxr-xr-x 0 init"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	content := exec.Command(cpio, "-i", "--quiet", "--to-stdout", "init")
	content.Stdin = bytes.NewReader(b.Bytes())
	if out, err := content.Output(); err != nil || string(out) != agent {
		t.Errorf("init is %q, %v", out, err)
	}
}

func TestReproducible(t *testing.T) {
	var a, b bytes.Buffer
	for _, w := range []*bytes.Buffer{&a, &b} {
		if err := Write(w, strings.NewReader("agent"), 5); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two archives of one agent differ")
	}
	if a.Len()%4 != 0 {
		t.Errorf("%d bytes are no multiple of 4: nothing could follow", a.Len())
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space") }

func TestErrors(t *testing.T) {
	if err := Write(io.Discard, strings.NewReader("short"), 6); !errors.Is(err, io.EOF) {
		t.Errorf("an agent that is shorter than it was: %v", err)
	}
	if err := Write(full{}, strings.NewReader("agent"), 5); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("%v", err)
	}
	if err := Write(io.Discard, strings.NewReader(""), maxSize+1); err == nil {
		t.Error("a size that the format cannot say is accepted")
	}
}
