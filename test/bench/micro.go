package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// microFigures are the probe's in the order of the table.
var microFigures = append([]figure{
	{"getppid_ns", "getppid", "ns", false},
	{"forkexec_ms", "fork + exec of /bin/true", "ms", false},
	{"pagefault_us", "page fault", "µs", false},
}, fileFigures...)

// fileFigures are those of files.
var fileFigures = []figure{
	{"write_mbs", "write 64 KiB blocks", "MB/s", true},
	{"write_fsync_mbs", "write + fsync", "MB/s", true},
	{"read_mbs", "read 64 KiB blocks", "MB/s", true},
	{"smallfiles_ms", "2000 small files: create, stat, read", "ms", false},
	{"stat_us", "stat of one of them", "µs", false},
}

// micro runs the probe in turn on the host and in a container of every runtime.
func (b *bench) micro(ctx context.Context, probeArgs []string) {
	b.inTurn(ctx, "micro", microFigures, func(r *runtime) ([]byte, error) {
		// A probe that was killed leaves its files; the next round starts clean.
		defer clean(filepath.Join(b.rootfs, "data"))
		return b.probeOnce(ctx, r, probeArgs)
	})
}

// inTurn runs a probe in turn on the host, for which the runtime is nil, and with
// every runtime, and adds its figures to the report.
func (b *bench) inTurn(ctx context.Context, what string, figures []figure, probe func(*runtime) ([]byte, error)) {
	samples := map[string]map[string][]float64{}
	broken := map[string]bool{}
	for round := range b.repeats {
		b.progress("%s: round %d of %d", what, round+1, b.repeats)
		for _, r := range append([]*runtime{nil}, b.runtimes...) {
			name := native
			if r != nil {
				name = r.name
			}
			if broken[name] || ctx.Err() != nil {
				continue
			}
			out, err := probe(r)
			values, parseErr := parseProbe(out, len(figures))
			if err == nil {
				err = parseErr
			}
			if err != nil {
				if ctx.Err() == nil {
					b.out.note("%s with %s failed: %v", what, name, err)
				}
				broken[name] = true
			}
			for key, v := range values { // after an error, those up to it
				put(samples, key, name, v)
			}
		}
	}
	for _, f := range figures {
		b.out.add(f.key, f.title, f.unit, f.higher, samples[f.key])
	}
}

// probeOnce runs the probe in a container of r, or on the host for nil.
func (b *bench) probeOnce(ctx context.Context, r *runtime, probeArgs []string) ([]byte, error) {
	if r == nil {
		args := append([]string{"-dir", filepath.Join(b.rootfs, "data"), "-true", filepath.Join(b.rootfs, "bin", "true")}, probeArgs...)
		_, out, err := b.session.exec(ctx, filepath.Join(b.rootfs, "bin", "probe"), args...)
		return out, err
	}
	id := b.newID(r)
	_, out, err := b.run(ctx, r, "run", "--bundle", b.probe, id)
	if err == nil {
		b.forget(id)
	}
	return out, err
}

// parseProbe reads that many of the probe's lines; a runtime may print others in between.
func parseProbe(out []byte, want int) (map[string]float64, error) {
	values := map[string]float64{}
	for text := range strings.Lines(string(out)) {
		var one struct {
			Name  string   `json:"name"`
			Value *float64 `json:"value"`
		}
		if json.Unmarshal([]byte(text), &one) == nil && one.Name != "" && one.Value != nil {
			values[one.Name] = *one.Value
		}
	}
	if len(values) < want {
		return values, fmt.Errorf("%d of %d figures", len(values), want)
	}
	return values, nil
}

// clean empties a directory of the benchmark's own.
func clean(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		_ = os.RemoveAll(filepath.Join(dir, e.Name()))
	}
}

// compare notes the lines on which kata is slower than runsc.
func compare(r *report) {
	figures := slices.Concat(microFigures, networkFigures)
	for _, c := range controls {
		figures = append(figures, c.figure)
	}
	for _, f := range figures {
		l := r.line(f.key)
		if l == nil {
			continue
		}
		if v, ok := l.ratio(kata, runsc); ok && v > 1 {
			r.note("%s: kata is %.2f times slower than runsc", f.title, v)
		}
	}
}
