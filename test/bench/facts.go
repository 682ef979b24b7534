package main

import (
	"fmt"
	"os"
	goruntime "runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kata/check"
)

// facts describe the machine; figures of different machines do not compare.
type facts struct {
	CPU        string   `json:"cpu"`
	Cores      int      `json:"cores"`
	Kernel     string   `json:"kernel"`
	Hardware   string   `json:"hardware_virtualization"`
	LoadBefore string   `json:"load_before"`
	LoadAfter  string   `json:"load_after"`
	IdleBefore float64  `json:"idle_before_percent"`
	IdleAfter  float64  `json:"idle_after_percent"`
	Time       string   `json:"time"`
	Sandbox    string   `json:"sandbox,omitempty"` // isolation and hypervisor that kata used
	Runtimes   []string `json:"runtimes"`
	Missing    []string `json:"missing"`
}

// gatherFacts reads what does not change during the run.
func gatherFacts() facts {
	f := facts{CPU: "unknown", Cores: goruntime.NumCPU(), Hardware: "usable", Time: time.Now().UTC().Format(time.RFC3339)}
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			f.CPU = strings.TrimSpace(value)
			break
		}
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		f.Kernel = unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
	}
	if r := check.KVM(); r != nil {
		f.Hardware = r.Cause
	}
	return f
}

// load returns the three load averages as the kernel prints them.
func load() string {
	data, _ := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(data)); len(f) > 2 {
		return strings.Join(f[:3], " ")
	}
	return "unknown"
}

// idle measures for d how many percent of all processors were idle.
func idle(d time.Duration) float64 {
	read := func() (float64, float64) {
		data, _ := os.ReadFile("/proc/stat")
		i, t, _ := parseStat(string(data))
		return i, t
	}
	idle0, total0 := read()
	time.Sleep(d)
	idle1, total1 := read()
	if total1 <= total0 {
		return 0
	}
	return 100 * (idle1 - idle0) / (total1 - total0)
}

// parseStat returns the idle (with I/O wait) and total ticks of /proc/stat.
func parseStat(text string) (idle, total float64, err error) {
	line, _, _ := strings.Cut(text, "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return 0, 0, fmt.Errorf("unexpected first line %q", line)
	}
	for i, s := range f[1:9] { // guest time is part of user time
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return 0, 0, err
		}
		total += v
		if i == 3 || i == 4 {
			idle += v
		}
	}
	return idle, total, nil
}
