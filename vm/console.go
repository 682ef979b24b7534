package vm

import (
	"slices"
	"strings"
	"sync"
)

// ConsoleTail keeps the end of what is written to it, for error reports. The
// guest writes it, so it is bounded and stripped of control characters.
type ConsoleTail struct {
	mu  sync.Mutex
	buf []byte
}

const (
	tailBytes = 16 << 10
	tailLines = 20
)

// Write never fails.
func (c *ConsoleTail) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buf = append(c.buf, p...)
	if n := len(c.buf) - tailBytes; n > 0 {
		c.buf = append(c.buf[:0], c.buf[n:]...)
	}
	return len(p), nil
}

func isPanic(line string) bool { return strings.Contains(line, "Kernel panic") }

// String is the last lines, or those around a panic of the kernel.
func (c *ConsoleTail) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(c.buf), "?"))
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	from := max(len(lines)-tailLines, 0)
	if i := slices.IndexFunc(lines, isPanic); i >= 0 {
		from = max(i-tailLines/2, 0) // what led to it says more than its stack
	}
	lines = lines[from:min(from+tailLines, len(lines))]
	return strings.Join(lines, "\n")
}

// LastLine is what was printed last, or the kernel's panic; "" if nothing was.
func (c *ConsoleTail) LastLine() string { return lastLine(c.String()) }

// lastLine is the most telling line: a panic if there is one, else the last.
func lastLine(console string) string {
	last := ""
	for line := range strings.Lines(console) {
		line = strings.TrimSpace(line)
		if isPanic(line) {
			return line
		}
		if line != "" {
			last = line
		}
	}
	return last
}
