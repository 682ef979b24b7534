package cli

import (
	"fmt"
	"os"

	"kata/metrics"
	"kata/sandbox/proxy"
)

// report notes what the sandbox took and costs; the function that it returns
// prints that, once the container has ended.
func (a *app) report(k *created) func() {
	resp, err := proxy.Call(k.dir, &proxy.Request{Op: proxy.Status})
	if err != nil {
		return func() { a.log("warning", "no timings: "+err.Error()) }
	}
	st := resp.Status
	mem, err := metrics.Measure(metrics.Tree([]int{k.record.Proxy.PID, os.Getpid()}))
	return func() {
		t := st.Timings
		fmt.Fprintf(a.stderr, "isolation  %s (%s), guest kernel %s\n", st.Isolation, st.Hypervisor, st.Kernel)
		for _, p := range []struct {
			name string
			ms   float64
		}{{"prepare", t.Prepare}, {"VMM start", t.VMM}, {"kernel", t.Kernel}, {"agent", t.Agent}, {"container", t.Container}} {
			fmt.Fprintf(a.stderr, "%-10s %7.1f ms\n", p.name, p.ms)
		}
		if err == nil {
			fmt.Fprintf(a.stderr, "memory     %7.1f MB on the host, all processes and the guest's memory; agent %.1f MB in the guest\n",
				float64(mem.Total)*1024/1e6, float64(st.AgentKiB)*1024/1e6)
		}
	}
}
