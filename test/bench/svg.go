package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
)

// Geometry of the chart in pixels.
const (
	svgLabel  = 300 // left column
	svgPlot   = 460 // width of the axis
	svgBar    = 11  // height of a bar
	svgGap    = 10  // between lines
	svgTop    = 62  // above the first line
	svgMargin = 70  // right of the axis, for values
)

// svgColours are readable on white and on black.
var svgColours = map[string]string{
	kata: "#d9822b", "runc": "#4c8fd6", "crun": "#3aa39b", runsc: "#9a6fd0", "runsc-ptrace": "#b98fd9", "runsc-disk": "#7d5aa8", native: "#8a8a8a",
}

// writeSVG draws one group of bars per line that has the base runtime: the cost
// relative to it, lower is better, on a logarithmic axis. The background is left
// transparent.
func writeSVG(w io.Writer, r *report) error {
	base := chartBase(r)
	var lines []*line
	low, high := 0.5, 2.0
	for _, l := range r.Lines {
		if _, ok := l.By[base]; !ok || len(l.By) < 2 {
			continue
		}
		lines = append(lines, l)
		for name := range l.By {
			if v, ok := l.ratio(name, base); ok {
				low, high = math.Min(low, v), math.Max(high, v)
			}
		}
	}
	first, last := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	x := func(ratio float64) float64 {
		return svgLabel + svgPlot*(math.Log10(ratio)-first)/(last-first)
	}
	var body strings.Builder
	y := float64(svgTop)
	for _, l := range lines {
		y = svgGroup(&body, r, l, base, x, y) + svgGap
	}
	var b strings.Builder
	width, height := svgLabel+svgPlot+svgMargin, int(y)+10
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="12" fill="#808080">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<title>Cost relative to %s</title>`+"\n", escape(base))
	fmt.Fprintf(&b, `<text x="10" y="18" font-size="14" font-weight="bold">Cost relative to %s (lower is better, logarithmic)</text>`+"\n", escape(base))
	svgLegend(&b, r, base)
	for e := first; e <= last; e++ {
		at := x(math.Pow(10, e))
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%.1f" stroke="#808080" stroke-opacity="0.35"/>`+"\n", at, svgTop-6, at, y)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle" font-size="10">%g×</text>`+"\n", at, svgTop-9, math.Pow(10, e))
	}
	b.WriteString(body.String())
	fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%.1f" stroke="#808080" stroke-width="2"/>`+"\n</svg>\n", x(1), svgTop-6, x(1), y)
	_, err := io.WriteString(w, b.String())
	return err
}

// chartBase is runsc where it was measured, else the first peer.
func chartBase(r *report) string {
	base := ""
	for _, c := range r.Columns {
		if c == runsc {
			return c
		}
		if base == "" && c != kata && c != native {
			base = c
		}
	}
	return base
}

// svgGroup draws one line's bars from y on and returns where it ends.
func svgGroup(b *strings.Builder, r *report, l *line, base string, x func(float64) float64, y float64) float64 {
	begin := y
	for _, c := range r.Columns {
		ratio, ok := l.ratio(c, base)
		if c == base || !ok {
			continue
		}
		from, to := x(math.Min(1, ratio)), x(math.Max(1, ratio))
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%d" fill="%s"><title>%s: %s %s, %.2f×</title></rect>`+"\n",
			from, y, math.Max(to-from, 1), svgBar-2, svgColours[c], escape(c), number(l.By[c].Median), escape(l.Unit), ratio)
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" font-size="9">%.2f</text>`+"\n", to+4, y+svgBar-3, ratio)
		y += svgBar
	}
	y = math.Max(y, begin+svgBar)
	fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", svgLabel-10, (begin+y)/2+4, escape(strings.TrimSpace(l.Title)))
	return y
}

// svgLegend names the colours.
func svgLegend(b *strings.Builder, r *report, base string) {
	at := 10
	for _, c := range r.Columns {
		if c == base {
			continue
		}
		fmt.Fprintf(b, `<rect x="%d" y="26" width="10" height="10" fill="%s"/><text x="%d" y="35">%s</text>`+"\n", at, svgColours[c], at+14, escape(c))
		at += 34 + 8*len(c)
	}
}

// escape makes text safe in XML.
func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}
