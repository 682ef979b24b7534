package vmtest

import (
	"bufio"
	"fmt"
	"testing"
	"time"
)

// clock compares the guest's clock with the host's: it must not run faster or slower.
func (s *suite) clock(t *testing.T) {
	const (
		interval  = 2 * time.Second
		tolerance = 0.01 // the guest says hundredths of a second
	)
	c := container(t, "clock", "while read x; do cat /proc/uptime; done", nil)
	spec := s.spec(t)
	spec.Shares = c.Shares
	sb := s.boot(t, spec)
	stdio := start(t, sb, c)
	defer time.AfterFunc(Patience, sb.Stop).Stop()
	lines := bufio.NewReader(stdio[1])
	// ask returns the guest's time, and the host's before and after it was read.
	ask := func() (uptime float64, before, after time.Time) {
		before = time.Now()
		if _, err := stdio[0].Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
		line, err := lines.ReadString('\n')
		if _, serr := fmt.Sscan(line, &uptime); err != nil || serr != nil {
			t.Fatalf("%q, %v", line, err)
		}
		return uptime, before, time.Now()
	}
	ask() // what is done for the first time takes long
	first, before1, after1 := ask()
	time.Sleep(interval)
	second, before2, after2 := ask()
	least, most := before2.Sub(after1).Seconds()*(1-tolerance), after2.Sub(before1).Seconds()*(1+tolerance)
	if took := second - first; took < least || took > most {
		t.Errorf("%.2f s in the guest, on the host between %.2f and %.2f", took, least, most)
	}
}
