// Package terminal is the screen and the keyboard of a test: it makes a terminal, or
// takes the one that a runtime sends, types and waits for what appears.
//
// It does not interpret what it shows: escape sequences are characters like others.
package terminal

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Patience is how long something may take to appear. It is no performance goal.
const Patience = time.Minute

// A Terminal is the end of a terminal at which people sit.
type Terminal struct {
	f    *os.File
	mu   sync.Mutex
	text strings.Builder
}

// New watches f, the master of a terminal, for as long as the test runs.
func New(t *testing.T, f *os.File) *Terminal {
	c := &Terminal{f: f}
	t.Cleanup(func() { f.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := f.Read(buf)
			c.mu.Lock()
			c.text.Write(buf[:n])
			c.mu.Unlock()
			if err != nil {
				return // EIO: nobody has the terminal open any more
			}
		}
	}()
	return c
}

// String is everything that has appeared.
func (c *Terminal) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// Expect waits until want has appeared, now or earlier.
func (c *Terminal) Expect(t *testing.T, want string) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !strings.Contains(c.String(), want); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the terminal does not show %q: %q", want, c)
		}
	}
}

// Type writes what a person types.
func (c *Terminal) Type(t *testing.T, text string) {
	t.Helper()
	if _, err := c.f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// Resize is what a terminal emulator does when its window changes.
func (c *Terminal) Resize(t *testing.T, rows, columns uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(c.f.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
	// Fd has made it blocking: reads end with the terminal all the same.
}

// Open makes a terminal, as a terminal emulator does; the file is what programs
// have it open as.
func Open(t *testing.T) (*Terminal, *os.File) {
	t.Helper()
	m, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(m.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(m.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	s, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return New(t, m), s
}

// Attach makes the terminal a command's own.
func Attach(c *exec.Cmd, tty *os.File) {
	c.Stdin, c.Stdout, c.Stderr = tty, tty, tty
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
}
