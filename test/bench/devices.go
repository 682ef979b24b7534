package main

import (
	"context"
	"path/filepath"
	goruntime "runtime"
	"slices"
)

// way is one of several ways in which a machine of QEMU has its files or its network,
// the settings that ask for it, and its processors, 0 being one.
type way struct {
	key, title, settings string
	cpus                 int
}

// shareTypes and networks are the ways that are compared.
var (
	shareTypes = []way{{"9p", "9p", "", 0}, {"virtiofs", "virtiofs", "share = \"virtiofs\"", 0}}
	networks   = []way{{"tap", "tap", "", 0}, {"tap2", "tap, 2 processors", "", 2}, {"relay", "relay", "network = \"relay\"", 0}}
)

// devices measures the files and the network of kata's machines of QEMU.
func (b *bench) devices(ctx context.Context, netArgs []string) {
	i := slices.IndexFunc(b.runtimes, func(r *runtime) bool { return r.name == kata })
	if i < 0 {
		return
	}
	for _, w := range shareTypes {
		b.device(ctx, b.runtimes[i], w, "files by ", fileFigures, func(r *runtime) ([]byte, error) {
			defer clean(filepath.Join(b.rootfs, "data"))
			return b.probeOnce(ctx, r, nil)
		})
	}
	for _, w := range networks {
		if w.cpus > goruntime.NumCPU() {
			continue
		}
		b.device(ctx, b.runtimes[i], w, "network by ", networkFigures, func(r *runtime) ([]byte, error) {
			wire, err := newWire()
			if err != nil {
				return nil, err
			}
			defer wire.close()
			return b.onWire(ctx, r, wire, append([]string{"-network", wire.address()}, netArgs...))
		})
	}
}

// device measures one way. What is done first warms up: it saves the machine.
func (b *bench) device(ctx context.Context, r *runtime, w way, what string, figures []figure, probe func(*runtime) ([]byte, error)) {
	what = b.kind() + ", " + what + w.title
	samples := map[string]map[string][]float64{}
	with, err := b.emulator(r, machines{name: "devices", cpus: w.cpus, qemu: w.settings})
	for round := 0; err == nil && round <= b.repeats && ctx.Err() == nil; round++ {
		b.progress("%s: round %d of %d", what, round, b.repeats)
		if round == 0 {
			_, err = b.once(ctx, with, b.truth)
			continue
		}
		var out []byte
		if out, err = probe(with); err != nil {
			break
		}
		var values map[string]float64
		values, err = parseProbe(out, len(figures))
		for key, v := range values {
			put(samples, key, kata, v)
		}
	}
	if err != nil {
		b.failed(ctx, what, r, err)
	}
	for _, f := range figures {
		b.out.add(b.kind()+"_"+f.key+"_"+w.key, what+", "+f.title, f.unit, f.higher, samples[f.key])
	}
}
