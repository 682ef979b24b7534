package jail

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds what must happen; nothing depends on how fast it does.
const patience = time.Minute

// ownerName is the argument 0 under which this binary is an owner to be killed.
const ownerName = "kata-jail-test-owner"

func TestMain(m *testing.M) {
	switch os.Args[0] {
	case InitName:
		Init()
	case ownerName:
		owner()
	}
	if _, _, e := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0); e == unix.ENOTSUP {
		fmt.Println("the jail's first process cannot be a program with cgo: test with CGO_ENABLED=0")
		os.Exit(1)
	}
	code := m.Run()
	if probe.dir != "" {
		os.RemoveAll(probe.dir)
	}
	os.Exit(code)
}

// owner starts the jail that its standard input describes, with descriptor 3 as
// the output, and waits to be killed.
func owner() {
	var c Config
	if err := json.NewDecoder(os.Stdin).Decode(&c); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	null := devNull()
	c.Files = []*os.File{null, os.NewFile(3, "output"), null}
	p, err := Start(&c)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("pid", p.PID)
	<-p.Done()
	os.Exit(0)
}

var probe struct {
	once sync.Once
	dir  string
	err  error
}

// probePath builds testdata/probe, statically: in the jail there is no library.
func probePath(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("these tests need root: they make namespaces and cgroups")
	}
	probe.once.Do(func() {
		if probe.dir, probe.err = os.MkdirTemp("", "kata-jail-probe"); probe.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-o", probe.dir+"/probe", "./testdata/probe")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			probe.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if probe.err != nil {
		t.Fatal(probe.err)
	}
	return probe.dir + "/probe"
}

// allCalls lets everything through that is not named.
func allCalls(but ...uint32) []uint32 {
	var list []uint32
next:
	for nr := range uint32(512) {
		for _, b := range but {
			if nr == b {
				continue next
			}
		}
		list = append(list, nr)
	}
	return list
}

// config is a jail that runs probe with args.
func config(t *testing.T, args ...string) *Config {
	t.Helper()
	return &Config{
		Dir:      t.TempDir(),
		Binds:    []Bind{{Source: probePath(t), Target: "/probe", ReadOnly: true}},
		Args:     append([]string{"/probe"}, args...),
		Syscalls: allCalls(unix.SYS_SETNS, unix.SYS_BPF, unix.SYS_CLONE, unix.SYS_CLONE3, unix.SYS_IOCTL),
	}
}

// start runs a jail and returns its output; the reader ends when nobody in the
// jail holds it any more.
func start(t *testing.T, c *Config) (*Process, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	c.Files = []*os.File{devNull(), w, w}
	p, err := Start(c)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill(); wait(t, p) })
	return p, r
}

func wait(t *testing.T, p *Process) {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(patience):
		t.Fatal("the jail does not end")
	}
}

// output runs a jail to its end.
func output(t *testing.T, c *Config) (string, error) {
	t.Helper()
	p, r := start(t, c)
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, p)
	return string(b), p.Err()
}

// children are this process' children that are or were a jail's PID 1.
func children(t *testing.T) []string {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		f := strings.Fields(string(b)[strings.LastIndexByte(string(b), ')')+1:])
		if len(f) > 1 && f[1] == fmt.Sprint(os.Getpid()) {
			found = append(found, string(b))
		}
	}
	return found
}

// noChildren waits until the kernel and the collecting goroutine are done.
func noChildren(t *testing.T) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if left = children(t); len(left) == 0 {
			return
		}
	}
	t.Errorf("processes are left: %q", left)
}
