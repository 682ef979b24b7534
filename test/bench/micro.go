package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// microLines are the probe's figures in the order of the table.
var microLines = []struct {
	key, title, unit string
	higher           bool
}{
	{"getppid_ns", "getppid", "ns", false},
	{"forkexec_ms", "fork + exec of /bin/true", "ms", false},
	{"pagefault_us", "page fault", "µs", false},
	{"write_mbs", "write 64 KiB blocks", "MB/s", true},
	{"write_fsync_mbs", "write + fsync", "MB/s", true},
	{"read_mbs", "read 64 KiB blocks", "MB/s", true},
	{"smallfiles_ms", "2000 small files: create, stat, read", "ms", false},
}

// micro runs the probe in turn on the host and in a container of every runtime.
func (b *bench) micro(ctx context.Context, probeArgs []string) {
	samples := map[string]map[string][]float64{}
	broken := map[string]bool{}
	for round := range b.repeats {
		b.progress("micro: round %d of %d", round+1, b.repeats)
		for _, r := range append([]*runtime{nil}, b.runtimes...) {
			name := native
			if r != nil {
				name = r.name
			}
			if broken[name] || ctx.Err() != nil {
				continue
			}
			values, err := b.probeOnce(ctx, r, probeArgs)
			if err != nil {
				if ctx.Err() == nil {
					b.out.note("probe with %s failed: %v", name, err)
				}
				broken[name] = true
			}
			for key, v := range values {
				if samples[key] == nil {
					samples[key] = map[string][]float64{}
				}
				samples[key][name] = append(samples[key][name], v)
			}
		}
	}
	for _, l := range microLines {
		b.out.add(l.key, l.title, l.unit, l.higher, samples[l.key])
	}
}

// probeOnce runs the probe in a container of r, or on the host for nil. After an
// error the values up to it are returned too.
func (b *bench) probeOnce(ctx context.Context, r *runtime, probeArgs []string) (map[string]float64, error) {
	var out []byte
	var err error
	if r == nil {
		args := append([]string{"-dir", filepath.Join(b.rootfs, "data"), "-true", filepath.Join(b.rootfs, "bin", "true")}, probeArgs...)
		_, out, err = b.session.exec(ctx, filepath.Join(b.rootfs, "bin", "probe"), args...)
	} else {
		id := b.newID(r)
		_, out, err = b.run(ctx, r, "run", "--bundle", b.probe, id)
		if err == nil {
			b.forget(id)
		}
	}
	values, parseErr := parseProbe(out)
	// A probe that was killed leaves its files; the next round starts clean.
	clean(filepath.Join(b.rootfs, "data"))
	if err == nil {
		err = parseErr
	}
	return values, err
}

// parseProbe reads the probe's lines; a runtime may print others in between.
func parseProbe(out []byte) (map[string]float64, error) {
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
	if len(values) < len(microLines) {
		return values, fmt.Errorf("%d of %d figures", len(values), len(microLines))
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

// compareMicro notes the lines on which kata is slower than runsc.
func compareMicro(r *report) {
	for _, m := range microLines {
		l := r.line(m.key)
		if l == nil {
			continue
		}
		if v, ok := l.ratio(kata, runsc); ok && v > 1 {
			r.note("%s: kata is %.2f times slower than runsc", m.title, v)
		}
	}
}
