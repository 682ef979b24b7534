package e2e

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestExitCodes(t *testing.T) {
	for _, tc := range []struct {
		name, script string
		want         int
	}{
		{"zero", "exit 0", 0},
		{"seven", "exit 7", 7},
		{"largest", "exit 255", 255},
		{"child killed by TERM", "sh -c 'kill -TERM $$'; exit $?", 143},
		{"child killed by KILL", "sh -c 'kill -KILL $$'; exit $?", 137},
		{"trap", "trap 'exit 42' TERM; kill -TERM $$; exit 1", 42},
		// PID 1 does not get signals that it has no handler for: pid_namespaces(7).
		{"default action of PID 1", "kill -TERM $$; kill -KILL $$; exit 3", 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			newHost(t).run(tc.want, bundle(t, script(tc.script)))
		})
	}
}

// The foreground command stands for the container: signals go through it.
func TestSignalsReachTheContainer(t *testing.T) {
	h := newHost(t)
	id := h.newID()
	out := tempFile(t)
	c := h.cmd("run", "--bundle", bundle(t, script("trap 'exit 42' TERM; echo ready; while :; do sleep 0.01; done")), id)
	c.Stdout = out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the trap is set", func() bool { return readFile(t, out.Name()) == "ready\n" })
	if err := c.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	equal(t, "exit code", exitCode(t, c.Wait()), 42)
	h.wantNothing()
}

func TestSignalsReachTheShim(t *testing.T) {
	h := newHost(t)
	id, out := h.startTo(t, bundle(t, script("trap 'exit 43' HUP; echo ready; while :; do sleep 0.01; done")))
	eventually(t, "the trap is set", func() bool { return readFile(t, out) == "ready\n" })
	pid := h.state(id).PID
	mine(t, pid)
	if err := unix.Kill(pid, unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	equal(t, "exit code of the shim", waitPID(t, pid), 43)
	h.wantStatus(id, "stopped")
}

func TestSignalsReachAnExec(t *testing.T) {
	h := newHost(t)
	id := h.start()
	out := tempFile(t)
	c := h.cmd("exec", id, "sh", "-c", "echo ready; exec sleep 1000000")
	c.Stdout = out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process runs", func() bool { return readFile(t, out.Name()) == "ready\n" })
	if err := c.Process.Signal(os.Signal(unix.SIGTERM)); err != nil {
		t.Fatal(err)
	}
	equal(t, "exit code", exitCode(t, c.Wait()), 143)
	h.wantStatus(id, "running")
}
