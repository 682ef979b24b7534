//go:build amd64

package qemu

import (
	"testing"
	"time"
)

// TestCounter compares with a longer measurement: a wrong frequency makes the guest's
// clock wrong, for as long as it runs.
func TestCounter(t *testing.T) {
	const tolerance = 500e-6 // what a clock can be corrected by, and ten times the error of a measurement
	closest := 1.0
	for range 5 { // a host that is busy between two readings of the clocks
		begin := time.Now()
		at1, count1 := moment(begin)
		khz := counterKHz()
		time.Sleep(100 * time.Millisecond)
		at2, count2 := moment(begin)
		want := float64(count2-count1) / float64(at2-at1) * float64(time.Millisecond)
		closest = min(closest, max(float64(khz)/want, want/float64(khz))-1)
	}
	if closest > tolerance {
		t.Errorf("the frequency is off by a factor of %f", 1+closest)
	}
}
