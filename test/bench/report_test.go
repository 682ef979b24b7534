package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// example is a report in which kata holds everything.
func example() *report {
	r := &report{Facts: facts{CPU: "a & b", Cores: 2, Missing: []string{"crun: not found"}}}
	r.add("start", "run /bin/true", "ms", false, map[string][]float64{kata: {60, 70, 80, 90, 65}, runsc: {109}, "runc": {22}, "crun": nil})
	r.add("boot_ms", "boot", "ms", false, map[string][]float64{kata: {45}})
	r.add("idle_total", "idle", "MB", false, map[string][]float64{kata: {31}, runsc: {42}})
	r.add("idle_many", "each of 20", "MB", false, map[string][]float64{kata: {22}})
	r.add("agent_rss", "agent", "MB", false, map[string][]float64{kata: {9}})
	r.add("exec", "exec <x>", "ms", false, map[string][]float64{kata: {12}, runsc: {20}})
	r.add("read_mbs", "read 64 KiB blocks", "MB/s", true, map[string][]float64{kata: {3000}, runsc: {6000}, native: {9000}})
	r.add("empty", "empty", "ms", false, nil)
	r.Columns = r.columns([]string{kata, "runc", "crun", runsc, native})
	return r
}

func all() map[string]bool {
	return map[string]bool{"start": true, "memory": true, "exec": true, "micro": true}
}

func TestRatio(t *testing.T) {
	r := example()
	if v, ok := r.line("read_mbs").ratio(kata, runsc); !ok || v != 2 {
		t.Errorf("throughput: %v, %v", v, ok)
	}
	if v, ok := r.line("exec").ratio(kata, runsc); !ok || v != 0.6 {
		t.Errorf("time: %v, %v", v, ok)
	}
	if _, ok := r.line("boot_ms").ratio(kata, runsc); ok || r.line("empty") != nil {
		t.Error("a ratio of nothing")
	}
}

func TestJudge(t *testing.T) {
	have := func(string) bool { return false }
	got := judge(example(), all(), have, 0)
	if len(got) != 8 || failed(got) {
		t.Errorf("got %+v", got)
	}
	if got := judge(example(), all(), have, 2); !failed(got) {
		t.Error("leftovers passed")
	}
	if got := judge(example(), map[string]bool{"micro": true}, have, 0); len(got) != 1 || failed(got) {
		t.Errorf("only micro: %+v", got)
	}
	slow := example()
	s := slow.line("start").By[kata]
	s.Median = 110
	slow.line("start").By[kata] = s
	verdicts := map[string]string{}
	for _, l := range judge(slow, all(), have, 0) {
		verdicts[l.Name] = l.Verdict
	}
	if verdicts["run of /bin/true, whole command"] != fail || verdicts["run of /bin/true against runsc"] != fail ||
		verdicts["exec of /bin/true, whole command"] != pass {
		t.Errorf("slow: %v", verdicts)
	}
	for _, l := range judge(&report{}, all(), func(name string) bool { return name == runsc }, 0)[:7] {
		want := fail // what was not measured has not been shown
		if strings.Contains(l.Name, "against runsc") {
			want = skip
		}
		if l.Verdict != want {
			t.Errorf("nothing measured: %+v", l)
		}
	}
}

func TestPrint(t *testing.T) {
	r := example()
	r.Verdicts = judge(r, all(), func(string) bool { return false }, 0)
	compare(r)
	var b strings.Builder
	r.print(&b)
	for _, want := range []string{"missing   crun: not found", "run /bin/true", "0.64", "PASS", "note: read 64 KiB blocks: kata is 2.00 times slower", "Spread", "2.00"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "crun  ") {
		t.Error("an empty column is shown")
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0123: "0.012", 0.5: "0.500", 1.234: "1.23", 12.34: "12.3", 99.96: "100", 1234.5: "1234"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestSVG(t *testing.T) {
	for name, r := range map[string]*report{"full": example(), "empty": {}} {
		var b strings.Builder
		if err := writeSVG(&b, r); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		for dec := xml.NewDecoder(strings.NewReader(text)); ; {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v in\n%s", name, err, text)
			}
		}
		if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
			t.Errorf("%s: not a number in\n%s", name, text)
		}
		if name == "full" && (!strings.Contains(text, "exec &lt;x&gt;") || !strings.Contains(text, "0.60") || strings.Count(text, "<rect") < 6) {
			t.Errorf("incomplete:\n%s", text)
		}
	}
}
