package agent

import (
	"testing"
	"time"
)

func TestSteady(t *testing.T) {
	calls := 0
	late := func(d time.Duration) { // a busy host: on time only now and then
		if calls++; calls%3 > 0 {
			d *= 4
		}
		time.Sleep(d)
	}
	if err := steady(late); err != nil {
		t.Error(err)
	}
	if err := steady(func(d time.Duration) { time.Sleep(3 * d) }); err == nil {
		t.Error("timers that are always late are taken for good ones")
	}
}
