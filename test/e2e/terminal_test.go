package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"kata/test/terminal"
)

// awaitSize prints RESIZED once the terminal has the size.
const awaitSize = `while [ "$(stty size)" != "40 100" ]; do sleep 0.01; done; echo "RE"SIZED`

func TestCreateWithATerminal(t *testing.T) {
	h := newHost(t)
	socket, receive := consoleSocket(t)
	dir := bundle(t, args("sh"), terminalOn, func(s *specs.Spec) { s.Process.ConsoleSize = &specs.Box{Height: 33, Width: 77} })
	id := h.create(dir, "--console-socket", socket)
	term := receive()
	pid := h.state(id).PID
	// Whoever reads the output of create to its end must not wait for the container.
	for fd := range 3 {
		file, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
		equal(t, fmt.Sprintf("descriptor %d of the shim, %v", fd, err), file, os.DevNull)
	}
	h.must("start", id)
	term.Type(t, "tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all 'terminals'\n")
	term.Expect(t, "/dev/pts/0\r\n33 77\r\nall terminals\r\n")
	term.Type(t, awaitSize+"\n")
	term.Resize(t, 40, 100)
	term.Expect(t, "RESIZED\r\n")
	term.Type(t, "sleep 1000001\n")
	eventually(t, "it sleeps", func() bool { return strings.Contains(h.must("ps", id), "sleep 1000001") })
	term.Type(t, "\x03") // the guest's line discipline makes SIGINT of it
	term.Type(t, "echo code $?\n")
	term.Expect(t, "code 130\r\n")
	term.Type(t, "ls -l /dev/console | cut -c1; echo $$; exit 21\n")
	term.Expect(t, "c\r\n1\r\n")
	equal(t, "exit code of the shim", waitPID(t, pid), 21)
	h.wantStatus(id, "stopped")
}

func TestRunDetachedWithATerminal(t *testing.T) {
	h := newHost(t)
	socket, receive := consoleSocket(t)
	id := h.newID()
	h.deleteLater(id)
	h.must("run", "--detach", "--console-socket", socket, "--bundle", bundle(t, script("echo hello; read x; exit 5"), terminalOn), id)
	term := receive()
	term.Expect(t, "hello\r\n")
	pid := h.state(id).PID
	term.Type(t, "\n")
	equal(t, "exit code of the shim", waitPID(t, pid), 5)
}

func TestExecWithATerminal(t *testing.T) {
	h := newHost(t)
	id := h.start()
	socket, receive := consoleSocket(t)
	pidFile := filepath.Join(t.TempDir(), "pid")
	h.must("exec", "--detach", "--tty", "--console-socket", socket, "--pid-file", pidFile, id, "sh")
	term := receive()
	term.Type(t, "tty\n")
	term.Expect(t, "/dev/pts/0\r\n")
	term.Type(t, awaitSize+"\n")
	term.Resize(t, 40, 100)
	term.Expect(t, "RESIZED\r\n")
	term.Type(t, "exit 22\n")
	equal(t, "exit code of the shim", waitPID(t, readPID(t, pidFile)), 22)
	h.wantStatus(id, "running")
	// As with runc: a command that waits has a terminal itself, or none.
	h.fails(255, []string{"--console-socket", "--detach"}, "exec", "--tty", "--console-socket", socket, id, "sh")
	equal(t, "processes", strings.Count(h.must("ps", id), "\n"), 2)
}

func TestRunOnATerminal(t *testing.T) {
	h := newHost(t)
	term, tty := terminal.Open(t)
	c := h.cmd("run", "--bundle", bundle(t, args("sh"), terminalOn), h.newID())
	terminal.Attach(c, tty)
	before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	term.Resize(t, 24, 80)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	term.Expect(t, "# ")
	term.Type(t, "tty; stty size\n")
	term.Expect(t, "/dev/pts/0\r\n24 80\r\n")
	term.Type(t, awaitSize+"\n")
	term.Resize(t, 40, 100)
	term.Expect(t, "RESIZED\r\n")
	term.Type(t, "exit 23\n")
	equal(t, "exit code", exitCode(t, c.Wait()), 23)
	after, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "terminal mode after the run", *after, *before)
}

func TestExecOnATerminal(t *testing.T) {
	h := newHost(t)
	id := h.start()
	term, tty := terminal.Open(t)
	c := h.cmd("exec", "--tty", id, "sh")
	terminal.Attach(c, tty)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	term.Expect(t, "# ")
	term.Type(t, "tty; exit 24\n")
	term.Expect(t, "/dev/pts/0\r\n")
	equal(t, "exit code", exitCode(t, c.Wait()), 24)
}

func TestTerminalRefusals(t *testing.T) {
	h := newHost(t)
	dir := bundle(t, terminalOn)
	h.refused(1, []string{"--console-socket"}, "create", dir)
	h.refused(1, []string{"not a terminal"}, "run", dir)
	missing := filepath.Join(t.TempDir(), "missing.sock")
	id := h.newID()
	h.fails(1, []string{"console socket", "no such file"}, "create", "--console-socket", missing, "--bundle", dir, id)
	h.fails(1, []string{"--console-socket"}, "create", "--console-socket", missing, "--bundle", bundle(t), id)
	h.wantNothing()
}

// TestJobControl stops a job from the keyboard, lets it go on, and interrupts it; a
// resized terminal is a signal, too.
func TestJobControl(t *testing.T) {
	h := newHost(t)
	socket, receive := consoleSocket(t)
	id := h.create(bundle(t, args("sh"), terminalOn), "--console-socket", socket)
	term := receive()
	h.must("start", id)
	pid := h.state(id).PID
	state := func() string { return h.must("exec", id, "sh", "-c", "ps -o stat,args | grep '[s]leep 1000001'; :") }
	term.Type(t, "sleep 1000001\n")
	eventually(t, "it sleeps", func() bool { return strings.HasPrefix(state(), "S") })
	term.Type(t, "\x1a")
	term.Expect(t, "Stopped")
	equal(t, "state", state()[:1], "T")
	term.Type(t, "fg\n")
	eventually(t, "it sleeps again", func() bool { return strings.HasPrefix(state(), "S") })
	term.Type(t, "\x03")
	eventually(t, "it is gone", func() bool { return state() == "" })
	term.Type(t, "exec sh -c 'trap \"echo wind''ow; exit 9\" WINCH; echo re''ady; while :; do sleep 0.01; done'\n")
	term.Expect(t, "ready\r\n")
	term.Resize(t, 40, 100)
	term.Expect(t, "window\r\n")
	equal(t, "exit code of the shim", waitPID(t, pid), 9)
}
