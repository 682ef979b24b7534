package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// warmUps is the number of rounds that are thrown away.
const warmUps = 2

// bench is one run of the benchmark.
type bench struct {
	*session
	*bundles
	out      *report
	runtimes []*runtime
	n        int // samples of whole commands
	many     int // sandboxes at once
	repeats  int // rounds of the slow measurements
	settle   time.Duration
	quick    bool
	// accelerator is QEMU's, for the sections of its machines.
	accelerator string
	progress    func(format string, args ...any)
}

// rounds takes n samples of every runtime, one after the other in turn so that
// noise hits all alike, after the warm-ups. A runtime that fails is left out from
// then on and noted. It returns the samples in ms by runtime.
func (b *bench) rounds(ctx context.Context, what string, n, warm int, sample func(*runtime) (time.Duration, error)) map[string][]float64 {
	samples := map[string][]float64{}
	broken := map[string]bool{}
	for i := range n + warm {
		for _, r := range b.runtimes {
			if broken[r.name] || ctx.Err() != nil {
				continue
			}
			took, err := sample(r)
			if err != nil {
				if ctx.Err() == nil {
					b.out.note("%s with %s failed: %v", what, r.name, err)
				}
				broken[r.name] = true
				delete(samples, r.name)
				continue
			}
			if i >= warm {
				samples[r.name] = append(samples[r.name], took.Seconds()*1e3)
			}
		}
	}
	return samples
}

// start measures whole commands that run /bin/true, and kata's phases.
func (b *bench) start(ctx context.Context) {
	b.progress("start: %d rounds of run /bin/true", b.n)
	samples := b.rounds(ctx, "run", b.n, warmUps, func(r *runtime) (time.Duration, error) {
		return b.once(ctx, r, b.truth)
	})
	b.out.add("start", "run /bin/true", "ms", false, samples)
	for _, r := range b.runtimes {
		if r.name == kata {
			b.phases(ctx, r)
		}
	}
}

// once runs a container to its end.
func (b *bench) once(ctx context.Context, r *runtime, bundle string) (time.Duration, error) {
	id := b.newID(r)
	took, _, err := b.run(ctx, r, "run", "--bundle", bundle, id)
	if err == nil {
		b.forget(id)
	}
	return took, err
}

// up starts a container that sleeps and returns its id.
func (b *bench) up(ctx context.Context, r *runtime) (string, error) {
	id := b.newID(r)
	_, _, err := b.run(ctx, r, "run", "--detach", "--bundle", b.sleep, id)
	return id, err
}

// state asks the runtime about a container.
func (b *bench) state(ctx context.Context, r *runtime, id string) (*state, error) {
	_, out, err := b.run(ctx, r, "state", id)
	if err != nil {
		return nil, err
	}
	st, err := parseState(out)
	if err == nil && st.Kata != nil {
		b.out.Facts.Sandbox = fmt.Sprintf("isolation %s, hypervisor %s", st.Kata.Isolation, st.Kata.Hypervisor)
	}
	return st, err
}

// phases collects the timings that kata-runtime reports about its own starts.
func (b *bench) phases(ctx context.Context, r *runtime) {
	b.progress("start: phases of %d starts", b.n)
	samples := map[string][]float64{}
	for range b.n {
		s, err := b.phasesOnce(ctx, r)
		if err != nil {
			if ctx.Err() == nil {
				b.out.note("phases: %v", err)
			}
			return
		}
		for phase, ms := range s.Timings {
			samples[phase] = append(samples[phase], ms)
		}
	}
	order := []string{"prepare_ms", "vmm_ms", "kernel_ms", "agent_ms", "container_ms", "boot_ms"}
	for _, phase := range slices.Sorted(maps.Keys(samples)) {
		if !slices.Contains(order, phase) {
			order = append(order, phase)
		}
	}
	for _, phase := range order {
		b.out.add(phase, "  phase "+phase, "ms", false, map[string][]float64{kata: samples[phase]})
	}
}

// phasesOnce starts one container, reads its timings and deletes it.
func (b *bench) phasesOnce(ctx context.Context, r *runtime) (*kataState, error) {
	id, err := b.up(ctx, r)
	if err != nil {
		return nil, err
	}
	s, err := b.state(ctx, r, id)
	if err != nil {
		return nil, err
	}
	if err := b.remove(r, id); err != nil {
		return nil, err
	}
	if s.Kata == nil {
		return &kataState{}, nil
	}
	return s.Kata, nil
}

// execLatency measures whole commands that execute /bin/true in running containers.
func (b *bench) execLatency(ctx context.Context) {
	b.progress("exec: %d rounds of exec /bin/true", b.n)
	samples := b.inRunning(ctx, "exec", func(r *runtime, id string) (time.Duration, error) {
		took, _, err := b.run(ctx, r, "exec", id, "/bin/true")
		return took, err
	})
	b.out.add("exec", "exec /bin/true", "ms", false, samples)
}

// tidy removes a container and notes a failure.
func (b *bench) tidy(r *runtime, id string) {
	if err := b.remove(r, id); err != nil {
		b.out.note("delete with %s: %v", r.name, err)
	}
}
