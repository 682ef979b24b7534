package e2e

import (
	"bytes"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestPauseAndResume(t *testing.T) {
	h := newHost(t)
	id, out := h.startTo(t, bundle(t, script("while :; do echo x; sleep 0.01; done")))
	eventually(t, "it counts", func() bool { return len(readFile(t, out)) > 4 })
	h.fails(1, []string{"running", "not paused"}, "resume", id)
	h.must("pause", id)
	h.wantStatus(id, "paused")
	contains(t, "list", h.must("list"), "paused")
	h.fails(1, []string{"paused"}, "pause", id)
	h.fails(255, []string{"cannot exec", "paused"}, "exec", id, "true")
	h.fails(1, []string{"not stopped"}, "delete", id)
	h.must("ps", id)

	// What was on its way arrives, and then nothing does.
	time.Sleep(100 * time.Millisecond)
	before := len(readFile(t, out))
	time.Sleep(200 * time.Millisecond)
	equal(t, "output while paused", len(readFile(t, out)), before)

	h.must("resume", id)
	h.wantStatus(id, "running")
	eventually(t, "it counts again", func() bool { return len(readFile(t, out)) > before })
	equal(t, "exec", h.must("exec", id, "echo", "well"), "well\n")
}

func TestPauseOfAContainerThatDoesNotRun(t *testing.T) {
	h := newHost(t)
	id := h.create(bundle(t))
	h.must("pause", id)
	h.wantStatus(id, "paused")
	h.fails(1, []string{"cannot start", "paused"}, "start", id)
	h.must("resume", id)
	h.wantStatus(id, "created")
	h.must("start", id)
	h.must("kill", id, "KILL")
	h.fails(1, []string{"stopped"}, "pause", id)
	h.fails(1, []string{"stopped"}, "resume", id)
	h.fails(1, []string{"does not exist"}, "pause", h.newID())
	for _, verb := range []string{"checkpoint", "restore"} {
		h.fails(1, []string{"not supported", "CRIU"}, verb, id)
	}
}

// An exec that does not mind waits; nothing else waits for it.
func TestExecIntoPaused(t *testing.T) {
	h := newHost(t)
	id := h.start(args("sleep", "1000000"))
	h.must("pause", id)
	c := h.cmd("exec", "--ignore-paused", id, "echo", "later")
	var out bytes.Buffer
	c.Stdout = &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	h.wantStatus(id, "paused")
	equal(t, "output of a paused process", out.String(), "")
	h.must("resume", id)
	equal(t, "exit code", exitCode(t, c.Wait()), 0)
	equal(t, "output", out.String(), "later\n")
}

func TestEndOfAPausedContainer(t *testing.T) {
	h := newHost(t)
	id := h.start()
	pid := h.state(id).PID
	h.must("pause", id)
	h.must("kill", id, "KILL")
	h.wantStatus(id, "stopped")
	equal(t, "exit code of the shim", waitPID(t, pid), 128+int(unix.SIGKILL))
	h.must("delete", id)

	id = h.start()
	h.must("pause", id)
	h.must("delete", "--force", id)
	h.fails(1, []string{"does not exist"}, "state", id)
}
