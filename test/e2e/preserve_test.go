package e2e

import (
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// given are the other ends of descriptors that a command inherits as 3, 4 and 5: one
// that the process reads, one that it writes, and a socket.
type given struct {
	in, out, both *os.File
	inherited     []*os.File
}

func give(t *testing.T) *given {
	t.Helper()
	r, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	g := &given{in: in, out: out, both: os.NewFile(uintptr(pair[0]), "socket"), inherited: []*os.File{r, w, os.NewFile(uintptr(pair[1]), "socket")}}
	t.Cleanup(func() {
		for _, f := range append(g.inherited, g.in, g.out, g.both) {
			f.Close()
		}
	})
	return g
}

// exchange is useDescriptors' other side: what it says comes back, and each end is seen.
func (g *given) exchange(t *testing.T) {
	t.Helper()
	for _, f := range g.inherited {
		f.Close()
	}
	for _, f := range []*os.File{g.in, g.both} {
		if _, err := f.WriteString("hello\n"); err != nil {
			t.Error(err)
		}
	}
	g.in.Close()
	if err := unix.Shutdown(int(g.both.Fd()), unix.SHUT_WR); err != nil {
		t.Error(err)
	}
	timer := time.AfterFunc(patience, func() { g.out.Close(); g.both.Close() })
	defer timer.Stop()
	for f, want := range map[*os.File]string{g.out: "3: hello\n", g.both: "5: hello\n"} {
		b, err := io.ReadAll(f)
		if err != nil || string(b) != want {
			t.Errorf("it says %q, %v; want %q", b, err, want)
		}
	}
}

const useDescriptors = `a=$(cat <&3); echo "3: $a" >&4; b=$(cat <&5); echo "5: $b" >&5; ls /proc/self/fd | tr "\n" " "; exec 3>&- 4>&- 5>&-`

// The shell's ls has one more, the directory that it lists.
const descriptorsInUse = "0 1 2 3 4 5 6 "

func TestPreserveFDs(t *testing.T) {
	h := newHost(t)
	id := h.start()
	for name, args := range map[string][]string{
		"run":  {"run", "--preserve-fds", "3", "--bundle", bundle(t, script(useDescriptors)), h.newID()},
		"exec": {"exec", "--preserve-fds", "3", id, "sh", "-c", useDescriptors},
	} {
		t.Run(name, func(t *testing.T) {
			g := give(t)
			c := h.cmd(args...)
			c.ExtraFiles = g.inherited
			out := tempFile(t)
			defer out.Close()
			c.Stdout, c.Stderr = out, out
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			g.exchange(t)
			equal(t, "exit code", exitCode(t, c.Wait()), 0)
			equal(t, "output", readFile(t, out.Name()), descriptorsInUse)
		})
	}
}

// A container in the background has them from its creation on.
func TestPreserveFDsDetached(t *testing.T) {
	h := newHost(t)
	id := h.newID()
	h.deleteLater(id)
	null := func(c string) string { return "exec </dev/null >/dev/null 2>&1; " + c }
	g := give(t)
	inherit(t, h, g.inherited, "create", "--preserve-fds", "3", "--bundle", bundle(t, script(null(useDescriptors)+"; sleep 1000000")), id)
	h.must("start", id)
	g.exchange(t)
	g = give(t)
	inherit(t, h, g.inherited, "exec", "--detach", "--preserve-fds", "3", id, "sh", "-c", null(useDescriptors))
	g.exchange(t)
}

// inherit runs a command that leaves a process behind, which has its output.
func inherit(t *testing.T, h *host, files []*os.File, args ...string) {
	t.Helper()
	c := h.cmd(args...)
	c.ExtraFiles = files
	out := tempFile(t)
	defer out.Close()
	c.Stdout, c.Stderr = out, out
	if err := c.Run(); err != nil {
		t.Fatalf("%v: %s", err, readFile(t, out.Name()))
	}
}

func TestPreserveFDsRefusals(t *testing.T) {
	h := newHost(t)
	listener, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	socket := os.NewFile(uintptr(listener), "socket")
	defer socket.Close()
	file := tempFile(t)
	defer file.Close()
	for name, f := range map[string]*os.File{"a file": file, "a socket that is not connected": socket} {
		c := h.cmd("run", "--preserve-fds", "1", "--bundle", bundle(t), h.newID())
		c.ExtraFiles = []*os.File{f}
		out, err := c.CombinedOutput()
		equal(t, "exit code with "+name, exitCode(t, err), 1)
		contains(t, name, string(out), "--preserve-fds 1", "descriptor 3", "neither a pipe nor a connected stream socket")
	}
	// As systemd starts a service with sockets; only a shell knows its own pid.
	args := append(append([]string{}, h.flags...), "run", "--bundle", bundle(t), h.newID())
	out, err := exec.Command("sh", append([]string{"-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@"`, runtimeBin}, args...)...).CombinedOutput()
	equal(t, "exit code with LISTEN_FDS", exitCode(t, err), 1)
	contains(t, "LISTEN_FDS", string(out), "LISTEN_FDS=1", "virtual machine")
	h.wantNothing()
}
