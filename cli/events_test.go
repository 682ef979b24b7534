package cli

import (
	"encoding/json"
	"testing"
)

func TestStats(t *testing.T) {
	s := makeStats(map[string]string{
		"cpu.stat":       "usage_usec 30\nuser_usec 10\nsystem_usec 20\nnr_periods 4\nnr_throttled 3\nthrottled_usec 2\n",
		"memory.current": "100\n", "memory.max": "max\n", "memory.peak": "200\n",
		"memory.stat": "anon 5\nfile 6\n", "memory.events": "low 0\nmax 7\noom_kill 1\n",
		"pids.current": "2\n", "pids.max": "max\n",
		"io.stat": "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\nnonsense\n\n",
	})
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"cpu":{"usage":{"total":30000,"kernel":20000,"user":10000},"throttling":{"periods":4,"throttledPeriods":3,"throttledTime":2000}},` +
		`"cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,` +
		`"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0},"memory":{"cache":6,"usage":{"limit":18446744073709551615,"usage":100,"max":200,"failcnt":7},"swap":{"limit":18446744073709551615,"usage":100,"max":200,"failcnt":0},` +
		`"kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0},"raw":{"anon":5,"file":6}},"pids":{"current":2},` +
		`"blkio":{"ioServiceBytesRecursive":[{"major":254,"op":"Read","value":1},{"major":254,"op":"Write","value":2},{"major":254,"op":"Discard"}],` +
		`"ioServicedRecursive":[{"major":254,"op":"Read","value":3},{"major":254,"op":"Write","value":4},{"major":254,"op":"Discard"}]},` +
		`"hugetlb":{},"intel_rdt":{},"network_interfaces":null}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	if makeStats(nil).Memory.Usage.Usage != 0 {
		t.Error("nothing is something")
	}
}

func TestSizes(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "-1": -1, "4096": 4096, "64m": 64 << 20, "2G": 2 << 30, "1KiB": 1024, "3kb": 3072, "1t": 1 << 40} {
		if got, err := bytesOf(in); err != nil || got != want {
			t.Errorf("%s: %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "m", "x", "1x", "-1m", "9223372036854775807k", "1.5g"} {
		if got, err := bytesOf(in); err == nil {
			t.Errorf("%q is %d", in, got)
		}
	}
}
