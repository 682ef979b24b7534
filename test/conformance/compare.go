package main

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// An exception is a line of a program that need not pass here.
type exception struct{ line, reason string }

// readExceptions reads "program | line | reason", where the line may have the
// wildcards of a shell. Lines that begin with # are comments.
func readExceptions(text string) (map[string][]exception, error) {
	all := map[string][]exception{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.SplitN(line, " | ", 3)
		if len(f) != 3 || f[0] == "" || f[1] == "" || f[2] == "" {
			return nil, fmt.Errorf("exceptions:%d: want \"program | line | reason\", not %q", n, line)
		}
		if _, err := path.Match(f[1], ""); err != nil {
			return nil, fmt.Errorf("exceptions:%d: %q: %w", n, f[1], err)
		}
		all[f[0]] = append(all[f[0]], exception{f[1], f[2]})
	}
	return all, nil
}

func (e exception) matches(line string) bool {
	// A slash is nothing special in a line of text.
	flat := strings.NewReplacer("/", "\x01")
	ok, _ := path.Match(flat.Replace(e.line), flat.Replace(line))
	return ok
}

// comparison of one program's verdicts.
type comparison struct {
	program      string
	peer, own    verdicts
	worse        []string // runc passes, kata does not, no exception
	excepted     []string // the same, with an exception
	unneeded     []string // exceptions that were not needed, though their lines pass
	moreThanPeer int      // lines that only kata passes
}

func compare(program string, peer, own verdicts, exceptions []exception) comparison {
	c := comparison{program: program, peer: peer, own: own}
	used := make([]bool, len(exceptions))
	for _, line := range slices.Sorted(maps.Keys(peer.passed)) {
		if own.passed[line] >= peer.passed[line] && own.failed[line] <= peer.failed[line] {
			continue
		}
		said := line
		if n := peer.passed[line] - own.passed[line]; n > 1 {
			said = fmt.Sprintf("%s (%d times)", line, n)
		}
		i := slices.IndexFunc(exceptions, func(e exception) bool { return e.matches(line) })
		if i < 0 {
			c.worse = append(c.worse, said)
			continue
		}
		used[i] = true
		c.excepted = append(c.excepted, said+": "+exceptions[i].reason)
	}
	for i, e := range exceptions {
		if !used[i] && c.passes(e) {
			c.unneeded = append(c.unneeded, e.line)
		}
	}
	for line, n := range own.passed {
		if d := n - peer.passed[line]; d > 0 && line != exitLine {
			c.moreThanPeer += d
		}
	}
	return c
}

// passes reports whether an exception's lines pass here. Where the host lacks what they
// ask for, runc does not pass them either, and they say nothing of the exception.
func (c comparison) passes(e exception) bool {
	for line := range c.own.passed {
		if e.matches(line) && c.peer.passed[line] > 0 {
			return true
		}
	}
	return false
}

// maxShown bounds what is said of a program that failed early.
const maxShown = 10

func (c comparison) print(w io.Writer) {
	state := "same"
	switch {
	case len(c.worse) > 0 || len(c.unneeded) > 0:
		state = "DIFFERS"
	case len(c.excepted) > 0:
		state = "excepted"
	case c.moreThanPeer > 0:
		state = "more"
	}
	fmt.Fprintf(w, "%-32s %-14s %-14s %s\n", c.program, c.peer, c.own, state)
	for i, line := range c.worse {
		if i == maxShown {
			fmt.Fprintf(w, "    and %d more lines\n", len(c.worse)-i)
			break
		}
		fmt.Fprintf(w, "    only runc passes: %s\n", line)
	}
	for _, line := range c.excepted {
		fmt.Fprintf(w, "    excepted: %s\n", line)
	}
	for _, line := range c.unneeded {
		fmt.Fprintf(w, "    this exception is not needed: %s\n", line)
	}
}

// String shows the counts of lines, and of failed exits.
func (v verdicts) String() string {
	s := fmt.Sprintf("%d/%d", total(v.passed), total(v.failed))
	if v.failed[exitLine] > 0 {
		s += " exit"
	}
	return s
}

// summarize prints both counts and returns the exit code.
func summarize(w io.Writer, all []comparison) int {
	var differ, excepted int
	sum := func(of func(comparison) verdicts) string {
		var clean, passed, failed int
		var took time.Duration
		for _, c := range all {
			v := of(c)
			passed, failed, took = passed+total(v.passed), failed+total(v.failed), took+v.took
			if total(v.failed) == 0 && v.failed[exitLine] == 0 {
				clean++
			}
		}
		return fmt.Sprintf("%2d programs clean, %2d not; lines: %d ok, %d not ok; %.0f s", clean, len(all)-clean, passed, failed, took.Seconds())
	}
	for _, c := range all {
		differ += len(c.worse) + len(c.unneeded)
		excepted += len(c.excepted)
	}
	fmt.Fprintf(w, "runc: %s\nkata: %s\n", sum(func(c comparison) verdicts { return c.peer }), sum(func(c comparison) verdicts { return c.own }))
	fmt.Fprintf(w, "%d lines excepted with a reason, %d differences without\n", excepted, differ)
	if differ > 0 {
		return 1
	}
	return 0
}
