package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"kata/test/bench/stats"
)

// report is everything a run found out; -json writes it as it is.
type report struct {
	Facts    facts    `json:"facts"`
	Columns  []string `json:"columns"`
	Lines    []*line  `json:"lines"`
	Verdicts []limit  `json:"verdicts"`
	Notes    []string `json:"notes"`
}

// line is one measured quantity, by runtime.
type line struct {
	Key            string                   `json:"key"`
	Title          string                   `json:"title"`
	Unit           string                   `json:"unit"`
	HigherIsBetter bool                     `json:"higher_is_better,omitempty"`
	By             map[string]stats.Summary `json:"by"`
}

// add appends a line; samples are by runtime, and runtimes without any are left out.
func (r *report) add(key, title, unit string, higher bool, samples map[string][]float64) {
	l := &line{Key: key, Title: title, Unit: unit, HigherIsBetter: higher, By: map[string]stats.Summary{}}
	for name, s := range samples {
		if len(s) > 0 {
			l.By[name] = stats.Of(s)
		}
	}
	if len(l.By) > 0 {
		r.Lines = append(r.Lines, l)
	}
}

// note records something the reader has to know.
func (r *report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// line finds a line by its key, or returns nil.
func (r *report) line(key string) *line {
	for _, l := range r.Lines {
		if l.Key == key {
			return l
		}
	}
	return nil
}

// median returns the median of one runtime on the line with that key.
func (r *report) median(key, name string) (float64, bool) {
	l := r.line(key)
	if l == nil {
		return 0, false
	}
	s, ok := l.By[name]
	return s.Median, ok
}

// ratio returns how many times dearer a is than b: above 1 means a is worse,
// whatever the unit. It reports false where there is nothing to compare.
func (l *line) ratio(a, b string) (float64, bool) {
	x, okA := l.By[a]
	y, okB := l.By[b]
	if !okA || !okB || x.Median <= 0 || y.Median <= 0 {
		return 0, false
	}
	if l.HigherIsBetter {
		return y.Median / x.Median, true
	}
	return x.Median / y.Median, true
}

// number prints three significant digits or all digits before the point.
func number(v float64) string {
	digits := 0
	if a := math.Abs(v); a > 0 && a < 99.95 {
		digits = max(0, min(3, 2-int(math.Floor(math.Log10(a)))))
	}
	return fmt.Sprintf("%.*f", digits, v)
}

// print writes the whole report as text.
func (r *report) print(w io.Writer) {
	f := r.Facts
	fmt.Fprintf(w, "machine   %s, %d cores, Linux %s, %s\n", f.CPU, f.Cores, f.Kernel, f.Time)
	fmt.Fprintf(w, "hardware virtualization   %s\n", f.Hardware)
	fmt.Fprintf(w, "load      before %s, after %s; idle before %.0f %%, after %.0f %%\n", f.LoadBefore, f.LoadAfter, f.IdleBefore, f.IdleAfter)
	for _, s := range f.Runtimes {
		fmt.Fprintf(w, "runtime   %s\n", s)
	}
	if f.Sandbox != "" {
		fmt.Fprintf(w, "sandbox   %s\n", f.Sandbox)
	}
	for _, s := range f.Missing {
		fmt.Fprintf(w, "missing   %s\n", s)
	}
	fmt.Fprintln(w, "\nMedians; \"vs runsc\" is kata's cost over runsc's, lower is better (throughput inverted).")
	align(w, r.medians())
	if rows := r.spread(); len(rows) > 1 {
		fmt.Fprintln(w, "\nSpread")
		align(w, rows)
	}
	if len(r.Verdicts) > 0 {
		fmt.Fprintln(w, "\nMust hold (kata)")
		align(w, verdictRows(r.Verdicts))
	}
	for _, n := range r.Notes {
		fmt.Fprintln(w, "note: "+n)
	}
}

// medians is the main table.
func (r *report) medians() [][]string {
	head := append([]string{"", "unit"}, r.Columns...)
	rows := [][]string{append(head, "vs runsc")}
	for _, l := range r.Lines {
		row := []string{l.Title, l.Unit}
		for _, c := range r.Columns {
			cell := "-"
			if s, ok := l.By[c]; ok {
				cell = number(s.Median)
			}
			row = append(row, cell)
		}
		ratio := "-"
		if v, ok := l.ratio(kata, runsc); ok {
			ratio = fmt.Sprintf("%.2f", v)
		}
		rows = append(rows, append(row, ratio))
	}
	return rows
}

// spread shows how far apart the samples of the lines with many of them are.
func (r *report) spread() [][]string {
	rows := [][]string{{"", "unit", "runtime", "n", "min", "median", "p90", "max"}}
	for _, l := range r.Lines {
		for _, c := range r.Columns {
			if s, ok := l.By[c]; ok && s.N >= 5 {
				rows = append(rows, []string{l.Title, l.Unit, c, fmt.Sprint(s.N), number(s.Min), number(s.Median), number(s.P90), number(s.Max)})
			}
		}
	}
	return rows
}

// align prints rows in columns: the first to the left, the others to the right.
func align(w io.Writer, rows [][]string) {
	var width []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-len([]rune(cell)))
			if i == 0 {
				b.WriteString("  " + cell + pad)
			} else {
				b.WriteString("  " + pad + cell)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// columns returns the runtimes that have at least one value, in the order given.
func (r *report) columns(order []string) []string {
	var present []string
	for _, name := range order {
		if slices.ContainsFunc(r.Lines, func(l *line) bool { _, ok := l.By[name]; return ok }) {
			present = append(present, name)
		}
	}
	return present
}
