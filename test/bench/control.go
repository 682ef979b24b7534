package main

import (
	"context"
	"time"
)

// figure is a line of the table that has a value of its own for each sample.
type figure struct {
	key, title, unit string
	higher           bool
}

// controls are the commands on a running container, in the order in which each
// round gives them.
var controls = []struct {
	figure
	args []string
}{
	{figure{"pause", "pause", "ms", false}, []string{"pause"}},
	{figure{"resume", "resume", "ms", false}, []string{"resume"}},
	{figure{"update", "update of the CPU shares", "ms", false}, []string{"update", "--cpu-share", "512"}},
}

// control measures whole commands that change running containers.
func (b *bench) control(ctx context.Context) {
	b.progress("control: %d rounds of pause, resume, update", b.n)
	samples := map[string]map[string][]float64{}
	complete := b.inRunning(ctx, "control", func(r *runtime, id string) (time.Duration, error) {
		begin := time.Now()
		for _, c := range controls {
			took, _, err := b.run(ctx, r, append(c.args[:len(c.args):len(c.args)], id)...)
			if err != nil {
				return 0, err
			}
			put(samples, c.key, r.name, took.Seconds()*1e3)
		}
		return time.Since(begin), nil
	})
	for _, c := range controls {
		by := map[string][]float64{}
		for name := range complete {
			by[name] = samples[c.key][name][warmUps:]
		}
		b.out.add(c.key, c.title, c.unit, c.higher, by)
	}
}

// inRunning takes samples in containers that sleep, one of each runtime, as rounds
// does.
func (b *bench) inRunning(ctx context.Context, what string, sample func(r *runtime, id string) (time.Duration, error)) map[string][]float64 {
	ids := map[string]string{}
	defer func() {
		for _, r := range b.runtimes {
			if id := ids[r.name]; id != "" {
				b.tidy(r, id)
			}
		}
	}()
	return b.rounds(ctx, what, b.n, warmUps, func(r *runtime) (time.Duration, error) {
		if ids[r.name] == "" {
			id, err := b.up(ctx, r)
			ids[r.name] = id
			if err != nil {
				return 0, err
			}
		}
		return sample(r, ids[r.name])
	})
}

// put adds a sample of one figure and runtime.
func put(samples map[string]map[string][]float64, key, name string, value float64) {
	if samples[key] == nil {
		samples[key] = map[string][]float64{}
	}
	samples[key][name] = append(samples[key][name], value)
}
