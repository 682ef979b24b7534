package main

import "fmt"

// limit is one promised number and whether it held.
type limit struct {
	Name     string `json:"name"`
	Want     string `json:"want"`
	Measured string `json:"measured"`
	Verdict  string `json:"verdict"` // pass, fail or skip
}

// Verdicts. A number that was asked for but not measured has failed: silence is
// no evidence. Only a comparison with a peer that is not installed is skipped.
const (
	pass = "PASS"
	fail = "FAIL"
	skip = "SKIP"
)

// judge compares the report with the promised numbers of the chosen sections.
func judge(r *report, only map[string]bool, missing func(string) bool, leftovers int) []limit {
	var all []limit
	most := func(section, key, name string, bound float64) {
		if only[section] {
			all = append(all, atMost(r, key, name, bound))
		}
	}
	most("start", "boot_ms", "boot: VMM started to agent answers", 60)
	most("start", "start", "run of /bin/true, whole command", 100)
	if only["start"] {
		all = append(all, fasterThan(r, "start", "run of /bin/true against runsc", missing(runsc)))
	}
	most("memory", "idle_total", "idle sandbox alone, all memory", 40)
	most("memory", "idle_many", "idle sandbox, each of many", 30)
	most("memory", "agent_rss", "agent in the guest, resident", 10)
	most("exec", "exec", "exec of /bin/true, whole command", 40)
	most("emulated", "emulated_template_boot", "emulated: from a template to agent answers", 110)
	most("emulated", "emulated_template_run", "emulated: run of /bin/true from a template, whole command", 400)
	most("emulated", "emulated_pool_boot", "emulated: from the pool to agent answers", 15)
	most("emulated", "emulated_own_idle_1", "emulated: idle machine alone, private memory", 45)
	most("emulated", "emulated_own_idle_many", "emulated: idle machine, each of many, private memory", 40)
	left := limit{Name: "processes and mounts left behind", Want: "0", Measured: fmt.Sprint(leftovers), Verdict: pass}
	if leftovers > 0 {
		left.Verdict = fail
	}
	return append(all, left)
}

// atMost checks kata's median of a line against a bound in the line's unit.
func atMost(r *report, key, name string, bound float64) limit {
	l := limit{Name: name, Want: "<= " + number(bound), Measured: "not measured", Verdict: fail}
	if v, ok := r.median(key, kata); ok {
		l.Want += " " + r.line(key).Unit
		l.Measured = number(v)
		if v <= bound {
			l.Verdict = pass
		}
	}
	return l
}

// fasterThan checks that kata's median is below runsc's.
func fasterThan(r *report, key, name string, peerMissing bool) limit {
	l := limit{Name: name, Want: "ratio < 1", Measured: "not measured", Verdict: fail}
	if peerMissing {
		l.Measured, l.Verdict = "runsc is missing", skip
		return l
	}
	if found := r.line(key); found != nil {
		if v, ok := found.ratio(kata, runsc); ok {
			l.Measured = fmt.Sprintf("%.2f", v)
			if v < 1 {
				l.Verdict = pass
			}
		}
	}
	return l
}

// verdictRows makes a table of limits.
func verdictRows(all []limit) [][]string {
	rows := [][]string{{"", "want", "measured", ""}}
	for _, l := range all {
		rows = append(rows, []string{l.Name, l.Want, l.Measured, l.Verdict})
	}
	return rows
}

// failed reports whether a limit did not hold.
func failed(all []limit) bool {
	for _, l := range all {
		if l.Verdict == fail {
			return true
		}
	}
	return false
}
