package vmtest

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// powerOff ends machines in an orderly way, and one whose guest does not answer.
func (s *suite) powerOff(t *testing.T) {
	sb := s.boot(t, s.spec(t))
	if err := sb.PowerOff(Patience); err != nil {
		t.Errorf("%v\n%s", err, sb.Console())
	}
	ended(t, sb)
	noDescendants(t, sb.MachinePID())

	hung := s.boot(t, s.spec(t))
	for _, pid := range descendants(t, hung.MachinePID()) {
		if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	if err := hung.PowerOff(time.Second); err == nil {
		t.Error("a guest that hangs has switched itself off")
	}
	if took := time.Since(begin); took < time.Second {
		t.Errorf("it was waited for %v", took)
	}
	ended(t, hung)
	sb.Stop()
	hung.Stop()
	noDescendants(t, os.Getpid())
}
