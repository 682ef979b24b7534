package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestStreamsAreSeparate(t *testing.T) {
	h := newHost(t)
	dir := bundle(t, script("read a; echo out $a; echo err $a >&2; cat"))
	r := h.kataInput(strings.NewReader("first\nsecond\nthird"), "run", "--bundle", dir, h.newID())
	equal(t, "exit code", r.code, 0)
	equal(t, "stdout", r.stdout, "out first\nsecond\nthird")
	equal(t, "stderr", r.stderr, "err first\n")
}

func TestEmptyStdin(t *testing.T) {
	h := newHost(t)
	equal(t, "bytes", h.runScript("wc -c"), "0")
}

func TestBytesAreNotChanged(t *testing.T) {
	h := newHost(t)
	in := make([]byte, 1<<16)
	for i := range in {
		in[i] = byte(i) ^ byte(i>>8)
	}
	r := h.kataInput(bytes.NewReader(in), "run", "--bundle", bundle(t, args("cat")), h.newID())
	if r.code != 0 || r.stdout != string(in) {
		t.Errorf("exit code %d, %d bytes of %d, equal: %v", r.code, len(r.stdout), len(in), r.stdout == string(in))
	}
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

func TestLargeOutput(t *testing.T) {
	h := newHost(t)
	const blocks = 1600 // of 64 KiB: 100 MiB
	for _, to := range []string{"stdout", "stderr"} {
		t.Run(to, func(t *testing.T) {
			text := fmt.Sprintf("dd if=/dev/zero bs=65536 count=%d 2>/dev/null", blocks)
			c := h.cmd("run", "--bundle", bundle(t, script(text)), h.newID())
			var n counter
			c.Stdout = &n
			if to == "stderr" {
				c = h.cmd("run", "--bundle", bundle(t, script("exec 3>&2; "+text+" >&3")), h.newID())
				c.Stderr = &n
			}
			equal(t, "exit code", exitCode(t, c.Run()), 0)
			equal(t, "bytes", int64(n), blocks<<16)
		})
	}
}

func TestLargeInput(t *testing.T) {
	h := newHost(t)
	const size = 20 << 20
	zeros := io.LimitReader(neverEnding{}, size)
	r := h.kataInput(zeros, "run", "--bundle", bundle(t, args("wc", "-c")), h.newID())
	equal(t, "exit code", r.code, 0)
	equal(t, "bytes", strings.TrimSpace(r.stdout), fmt.Sprint(size))
}

// neverEnding is a file of zeros.
type neverEnding struct{}

func (neverEnding) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestLargeInputAndOutput(t *testing.T) {
	h := newHost(t)
	in := make([]byte, 8<<20)
	_, _ = rand.Read(in)
	r := h.kataInput(bytes.NewReader(in), "run", "--bundle", bundle(t, args("cat")), h.newID())
	equal(t, "exit code", r.code, 0)
	equal(t, "checksum", sha256.Sum256([]byte(r.stdout)), sha256.Sum256(in))
}

func TestUnreadInputDoesNotHang(t *testing.T) {
	h := newHost(t)
	r := h.kataInput(neverEnding{}, "run", "--bundle", bundle(t, script("exit 5")), h.newID())
	equal(t, "exit code", r.code, 5)
}

// A reader that is slow, or begins after the container's end, gets everything.
func TestOutputWaitsForItsReader(t *testing.T) {
	h := newHost(t)
	t.Run("slow", func(t *testing.T) {
		const size = 4 << 20
		c := h.cmd("run", "--bundle", bundle(t, script("dd if=/dev/zero bs=65536 count=64 2>/dev/null")), h.newID())
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		total, buf := 0, make([]byte, 16<<10)
		for err == nil {
			var n int
			n, err = out.Read(buf)
			total += n
			time.Sleep(time.Millisecond) // this is the slowness
		}
		equal(t, "exit code", exitCode(t, c.Wait()), 0)
		equal(t, "bytes", total, size)
	})
	t.Run("late", func(t *testing.T) {
		// More than the pipe on the host holds, less than all that is between.
		const size = 100 << 10
		id, pidFile := h.newID(), filepath.Join(t.TempDir(), "pid")
		h.deleteLater(id)
		c := h.cmd("run", "--detach", "--pid-file", pidFile, "--bundle",
			bundle(t, script("dd if=/dev/zero bs=1024 count=100 2>/dev/null; exit 6")), id)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		c.Stdout = w
		if err := c.Run(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		h.eventuallyStatus(id, "stopped")
		n, err := io.Copy(io.Discard, r)
		if err != nil {
			t.Error(err)
		}
		equal(t, "bytes", n, size)
		equal(t, "exit code of the shim", waitPID(t, readPID(t, pidFile)), 6)
	})
}

// A reader that goes away ends neither the container nor the command early.
func TestClosedOutput(t *testing.T) {
	h := newHost(t)
	c := h.cmd("run", "--bundle", bundle(t, script("dd if=/dev/zero bs=65536 count=64 2>/dev/null; exit 7")), h.newID())
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	c.Stdout = w
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	equal(t, "exit code", exitCode(t, c.Wait()), 7)
}

func TestOutputOfADetachedContainer(t *testing.T) {
	h := newHost(t)
	id, out := h.startTo(t, bundle(t, script("for i in 1 2 3; do echo $i; done")))
	h.eventuallyStatus(id, "stopped")
	eventually(t, "its output is there", func() bool { return readFile(t, out) == "1\n2\n3\n" })
}

// A process that the first one leaves behind does not keep the streams open.
func TestLeftBehindProcessDoesNotHoldTheOutput(t *testing.T) {
	h := newHost(t)
	equal(t, "stdout", h.runScript("sleep 1000000 & echo done"), "done")
}
