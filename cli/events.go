package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kata/sandbox/proxy"
	"kata/sandbox/state"
)

// event is one line of `events`, in runc's form.
type event struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Data any    `json:"data,omitempty"`
}

// stats are runc's, as far as cgroup v2 has them.
type stats struct {
	CPU struct {
		Usage struct {
			Total  uint64 `json:"total"` // nanoseconds, as all times here
			Kernel uint64 `json:"kernel"`
			User   uint64 `json:"user"`
		} `json:"usage"`
		Throttling struct {
			Periods          uint64 `json:"periods,omitempty"`
			ThrottledPeriods uint64 `json:"throttledPeriods,omitempty"`
			ThrottledTime    uint64 `json:"throttledTime,omitempty"`
		} `json:"throttling"`
	} `json:"cpu"`
	CPUSet cpuset `json:"cpuset"`
	Memory struct {
		Cache     uint64            `json:"cache,omitempty"`
		Usage     memoryEntry       `json:"usage"`
		Swap      memoryEntry       `json:"swap"`
		Kernel    memoryEntry       `json:"kernel"`
		KernelTCP memoryEntry       `json:"kernelTCP"`
		Raw       map[string]uint64 `json:"raw,omitempty"`
	} `json:"memory"`
	Pids struct {
		Current uint64 `json:"current,omitempty"`
		Limit   uint64 `json:"limit,omitempty"`
	} `json:"pids"`
	Blkio struct {
		IOServiceBytesRecursive []blkioEntry `json:"ioServiceBytesRecursive,omitempty"`
		IOServicedRecursive     []blkioEntry `json:"ioServicedRecursive,omitempty"`
	} `json:"blkio"`
	Hugetlb           map[string]struct{} `json:"hugetlb"`
	IntelRdt          struct{}            `json:"intel_rdt"`
	NetworkInterfaces []struct{}          `json:"network_interfaces"`
}

// cpuset has nothing to say in cgroup v2, but runc's readers expect its keys.
type cpuset struct {
	CPUExclusive          uint64 `json:"cpu_exclusive"`
	MemHardwall           uint64 `json:"mem_hardwall"`
	MemExclusive          uint64 `json:"mem_exclusive"`
	MemoryMigrate         uint64 `json:"memory_migrate"`
	MemorySpreadPage      uint64 `json:"memory_spread_page"`
	MemorySpreadSlab      uint64 `json:"memory_spread_slab"`
	MemoryPressure        uint64 `json:"memory_pressure"`
	SchedLoadBalance      uint64 `json:"sched_load_balance"`
	SchedRelaxDomainLevel int64  `json:"sched_relax_domain_level"`
}

type memoryEntry struct {
	Limit   uint64 `json:"limit"`
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

type blkioEntry struct {
	Major uint64 `json:"major,omitempty"`
	Minor uint64 `json:"minor,omitempty"`
	Op    string `json:"op,omitempty"`
	Value uint64 `json:"value,omitempty"`
}

// value reads one number of a cgroup file; "max" is the largest, as runc has it,
// and what is no number is the guest's nonsense and counts as 0.
func value(text string) uint64 {
	text = strings.TrimSpace(text)
	if text == "max" {
		return 1<<64 - 1
	}
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}

// keyed reads a flat keyed file (cgroup-v2.rst, "Format").
func keyed(text string) map[string]uint64 {
	out := map[string]uint64{}
	for line := range strings.Lines(text) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
		out[k] = value(v)
	}
	return out
}

// makeStats turns files of the guest's cgroup into runc's form.
func makeStats(files map[string]string) *stats {
	s := &stats{Hugetlb: map[string]struct{}{}}
	const micro = 1000
	cpu := keyed(files["cpu.stat"])
	s.CPU.Usage.Total, s.CPU.Usage.Kernel, s.CPU.Usage.User = micro*cpu["usage_usec"], micro*cpu["system_usec"], micro*cpu["user_usec"]
	s.CPU.Throttling.Periods, s.CPU.Throttling.ThrottledPeriods = cpu["nr_periods"], cpu["nr_throttled"]
	s.CPU.Throttling.ThrottledTime = micro * cpu["throttled_usec"]
	s.Memory.Raw = keyed(files["memory.stat"])
	s.Memory.Cache = s.Memory.Raw["file"]
	s.Memory.Usage = memoryEntry{Limit: value(files["memory.max"]), Usage: value(files["memory.current"]),
		Max: value(files["memory.peak"]), Failcnt: keyed(files["memory.events"])["max"]}
	s.Memory.Swap = memoryEntry{Limit: s.Memory.Usage.Limit, Usage: s.Memory.Usage.Usage, Max: s.Memory.Usage.Max} // with memory: a guest has no swap
	s.Memory.Kernel.Usage = s.Memory.Raw["kernel"]
	s.Pids.Current = value(files["pids.current"])
	if most := files["pids.max"]; strings.TrimSpace(most) != "max" { // runc's 0 is no limit
		s.Pids.Limit = value(most)
	}
	for line := range strings.Lines(files["io.stat"]) {
		s.blockDevice(strings.Fields(line))
	}
	return s
}

var blkioOps = map[string]string{"rbytes": "Read", "wbytes": "Write", "dbytes": "Discard", "rios": "Read", "wios": "Write", "dios": "Discard"}

// blockDevice reads a line of io.stat: MAJOR:MINOR key=value ...
func (s *stats) blockDevice(fields []string) {
	if len(fields) == 0 {
		return
	}
	major, minor, ok := strings.Cut(fields[0], ":")
	if !ok {
		return
	}
	for _, f := range fields[1:] {
		k, v, _ := strings.Cut(f, "=")
		e := blkioEntry{Major: value(major), Minor: value(minor), Op: blkioOps[k], Value: value(v)}
		switch {
		case e.Op == "":
		case strings.HasSuffix(k, "bytes"):
			s.Blkio.IOServiceBytesRecursive = append(s.Blkio.IOServiceBytesRecursive, e)
		default:
			s.Blkio.IOServicedRecursive = append(s.Blkio.IOServicedRecursive, e)
		}
	}
}

func cmdEvents(a *app, args []string) error {
	fs := newFlags("events")
	once := fs.Bool("stats", false, "print what the container uses, once")
	interval := fs.Duration("interval", 5*time.Second, "time between two prints")
	id, err := oneID(fs, args)
	if err != nil {
		return err
	}
	if *interval <= 0 {
		return errors.New("events: --interval must be more than 0")
	}
	// One connection for all questions: the proxy stays while it is open.
	c, err := a.dial(id)
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := a.ask(c, id, &proxy.Request{Op: proxy.Stats})
	if err != nil {
		return err
	}
	if *once {
		return a.event("stats", id, makeStats(resp.Stats))
	}
	return a.watch(c, id, *interval, keyed(resp.Stats["memory.events"])["oom_kill"])
}

func (a *app) event(kind, id string, data any) error {
	b, err := json.Marshal(&event{kind, id, data})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s\n", b)
	return err
}

// oomInterval is how often the guest is asked whether it killed for memory.
const oomInterval = time.Second

// watch prints until the container has ended. So far, the guest's kernel has killed
// so many processes of the container for memory.
func (a *app) watch(c *proxy.Conn, id string, interval time.Duration, killed uint64) error {
	next := time.Now().Add(interval)
	for {
		resp, err := a.ask(c, id, &proxy.Request{Op: proxy.Stats, Patience: min(oomInterval, max(time.Until(next), time.Millisecond))})
		if errors.Is(err, state.ErrGone) || isNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if n := keyed(resp.Stats["memory.events"])["oom_kill"]; n > killed {
			killed = n
			if err := a.event("oom", id, nil); err != nil {
				return err
			}
		}
		if resp.Ended {
			return nil
		}
		if time.Now().Before(next) {
			continue
		}
		next = time.Now().Add(interval)
		if err := a.event("stats", id, makeStats(resp.Stats)); err != nil {
			return err
		}
	}
}
