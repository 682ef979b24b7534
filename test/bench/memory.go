package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"kata/metrics"
)

// kib is the factor from KiB to MB (10^6 bytes), the unit of all memory lines.
const kib = 1024.0 / 1e6

// memoryLines collects the memory figures in MB, by line and runtime.
type memoryLines map[string]map[string][]float64

// put adds a sample.
func (m memoryLines) put(key, name string, value float64) {
	if m[key] == nil {
		m[key] = map[string][]float64{}
	}
	m[key][name] = append(m[key][name], value)
}

// memory measures idle containers, one alone and many at once.
func (b *bench) memory(ctx context.Context) {
	lines := memoryLines{}
	for _, r := range b.runtimes {
		b.progress("memory: %s", r.name)
		for range b.repeats {
			if err := b.alone(ctx, r, lines); err != nil {
				b.failed(ctx, "memory of one", r, err)
				break
			}
		}
		if err := b.crowd(ctx, r, lines); err != nil {
			b.failed(ctx, "memory of many", r, err)
		}
	}
	b.out.add("idle_total", "idle alone, PSS + unmapped guest pages", "MB", false, lines["total"])
	b.out.add("idle_pss", "idle alone, PSS", "MB", false, lines["pss"])
	b.out.add("idle_private", "idle alone, private", "MB", false, lines["private"])
	b.out.add("idle_files", "idle alone, memory files (in the total)", "MB", false,
		map[string][]float64{kata: lines["files"][kata]}) // a part of the total, nothing to compare
	many := fmt.Sprintf("idle, each of %d, ", b.many)
	b.out.add("idle_many", many+"PSS + unmapped guest pages", "MB", false, lines["many_total"])
	b.out.add("idle_many_pss", many+"PSS", "MB", false, lines["many_pss"])
	b.out.add("agent_rss", "agent in the guest, resident", "MB", false, lines["agent"])
}

// failed notes that a runtime could not be measured, unless the run was stopped.
func (b *bench) failed(ctx context.Context, what string, r *runtime, err error) {
	if ctx.Err() == nil {
		b.out.note("%s with %s failed: %v", what, r.name, err)
	}
}

// alone measures one container with no other of its runtime beside it.
func (b *bench) alone(ctx context.Context, r *runtime, lines memoryLines) error {
	id, err := b.up(ctx, r)
	defer b.tidy(r, id)
	if err != nil {
		return err
	}
	u, err := b.usage(ctx, r, []string{id})
	if err != nil {
		return err
	}
	lines.put("pss", r.name, float64(u.Pss)*kib)
	lines.put("private", r.name, float64(u.Private)*kib)
	lines.put("files", r.name, float64(u.MemoryFiles)*kib)
	lines.put("total", r.name, float64(u.Total)*kib)
	s, err := b.state(ctx, r, id)
	if err == nil && s.Kata != nil && s.Kata.AgentRSS > 0 {
		lines.put("agent", r.name, s.Kata.AgentRSS*kib)
	}
	return err
}

// crowd measures the mean of many containers that run at once.
func (b *bench) crowd(ctx context.Context, r *runtime, lines memoryLines) error {
	var ids []string
	defer func() {
		for _, id := range ids {
			b.tidy(r, id)
		}
	}()
	for range b.many {
		id, err := b.up(ctx, r)
		ids = append(ids, id)
		if err != nil {
			return err
		}
	}
	u, err := b.usage(ctx, r, ids)
	if err != nil {
		return err
	}
	lines.put("many_total", r.name, float64(u.Total)*kib/float64(b.many))
	lines.put("many_pss", r.name, float64(u.Pss)*kib/float64(b.many))
	return nil
}

// usage lets the containers settle and sums over all their processes: those the
// runtime names, those that mention the container and all their descendants.
func (b *bench) usage(ctx context.Context, r *runtime, ids []string) (metrics.Usage, error) {
	select {
	case <-time.After(b.settle):
	case <-ctx.Done():
		return metrics.Usage{}, ctx.Err()
	}
	var roots []int
	for _, id := range ids {
		s, err := b.state(ctx, r, id)
		if err != nil {
			return metrics.Usage{}, err
		}
		roots = append(roots, s.roots()...)
	}
	roots = append(roots, metrics.Mentioning(b.tag)...)
	slices.Sort(roots)
	tree := metrics.Tree(slices.Compact(roots))
	b.watch(r, tree)
	u, err := metrics.Measure(tree)
	if err == nil && u.Processes == 0 {
		err = fmt.Errorf("no processes found")
	}
	return u, err
}
