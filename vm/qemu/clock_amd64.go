package qemu

import "time"

// counter is the processor's time stamp counter.
func counter() int64

// counterKHz measures how fast the time stamp counter of an emulated processor runs:
// that is the host's own. What the kernel of the guest is told is what its clock
// runs by, so this is exact to some ten parts in a million.
func counterKHz() int64 {
	const long = 10 * time.Millisecond
	begin := time.Now()
	at1, count1 := moment(begin)
	time.Sleep(long)
	at2, count2 := moment(begin)
	return (count2 - count1) * int64(time.Millisecond) / int64(at2-at1)
}

// moment reads both clocks at once: the closest of some readings.
func moment(begin time.Time) (at time.Duration, count int64) {
	closest := time.Duration(1<<63 - 1)
	for range 10 {
		before := time.Since(begin)
		n := counter()
		after := time.Since(begin)
		if after-before < closest {
			closest, at, count = after-before, (before+after)/2, n
		}
	}
	return at, count
}
