package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kata/metrics"
)

// emulated measures kata's machines of QEMU's emulation: those that boot, those that
// start from a saved one, and those that wait for their container.
func (b *bench) emulated(ctx context.Context) {
	i := slices.IndexFunc(b.runtimes, func(r *runtime) bool { return r.name == kata })
	if i < 0 {
		return
	}
	var kinds []*runtime
	for _, kind := range []struct{ name, settings string }{{"boots", "template = false"}, {"template", ""}, {"pool", ""}} {
		pool := 0
		if kind.name == "pool" {
			pool = poolSize
		}
		r, err := b.emulator(b.runtimes[i], kind.name, kind.settings, pool)
		if err != nil {
			b.out.note("emulated: %v", err)
			return
		}
		kinds = append(kinds, r)
	}
	boots, starts, claims := kinds[0], kinds[1], kinds[2]
	b.emulatedStart(ctx, boots, "emulated_boots", "emulated, boots", max(b.n/4, 1), nil)
	b.emulatedStart(ctx, starts, "emulated_template", "emulated, from a template", b.n, nil)
	b.emulatedStart(ctx, claims, "emulated_pool", "emulated, from the pool", b.n, func() { b.waiting(ctx, poolSize) })
	b.endPool(ctx, b.runtimes[i])
	b.idleMemory(ctx, b.runtimes[i], "1", 1)
	b.idleMemory(ctx, b.runtimes[i], "many", b.many)
	if !b.quick {
		b.idleMemory(ctx, b.runtimes[i], "10", 10)
		b.idleMemory(ctx, b.runtimes[i], "50", 50)
	}
	b.emulatedMemory(ctx, starts, "1", 1)
	b.emulatedMemory(ctx, starts, "many", b.many)
}

// endPool ends the machines that wait.
func (b *bench) endPool(ctx context.Context, r *runtime) {
	if _, err := b.emulator(r, "pool", "", 0); err != nil {
		b.out.note("emulated: %v", err)
	}
	b.waiting(ctx, 0)
}

// poolSize is how many machines wait while the pool is measured.
const poolSize = 2

// emulator is kata with a configuration of its own.
func (b *bench) emulator(r *runtime, name, settings string, pool int) (*runtime, error) {
	file := filepath.Join(b.dir, name+".toml")
	text := fmt.Sprintf("hypervisor = \"qemu\"\npool_size = %d\n[qemu]\naccelerator = \"tcg\"\ntemplate_dir = %q\n%s\n", pool, filepath.Join(b.dir, "machines"), settings)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	with := *r
	with.global = append(slices.Clone(r.global), "--hypervisor", "qemu", "--config", file)
	return &with, nil
}

// waiting waits until as many machines of each kind wait.
func (b *bench) waiting(ctx context.Context, n int) {
	for deadline := time.Now().Add(commandLimit); ctx.Err() == nil && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		kinds, _ := filepath.Glob(filepath.Join(b.dir, kata, "~pool", "*"))
		enough := true
		for _, kind := range kinds {
			sockets, _ := filepath.Glob(filepath.Join(kind, "*.sock"))
			enough = enough && len(sockets) == n && n > 0
		}
		if enough {
			break
		}
	}
	time.Sleep(b.settle / 4) // what they started with is done
}

// idleMemory measures idle machines that have no container yet: those that wait in a pool
// of such a size, with all processes that they have.
func (b *bench) idleMemory(ctx context.Context, r *runtime, key string, n int) {
	b.progress("emulated: memory of %d that wait", n)
	defer b.endPool(ctx, r)
	with, err := b.emulator(r, "pool", "", n)
	if err == nil {
		_, err = b.once(ctx, with, b.truth) // its end fills the pool
	}
	if err != nil {
		b.failed(ctx, "memory of waiting machines", r, err)
		return
	}
	b.waiting(ctx, n)
	time.Sleep(b.settle)
	u, err := metrics.Measure(metrics.Tree(metrics.Mentioning(filepath.Join(b.dir, kata))))
	if err != nil {
		b.failed(ctx, "memory of waiting machines", r, err)
		return
	}
	b.memoryRows("idle_"+key, fmt.Sprintf("idle without a container, each of %d", n), u, n)
}

// memoryRows adds what each of n machines has to itself, and its share of all.
func (b *bench) memoryRows(key, title string, u metrics.Usage, n int) {
	each := func(kibs int64) map[string][]float64 {
		return map[string][]float64{kata: {float64(kibs) * kib / float64(n)}}
	}
	b.out.add("emulated_own_"+key, "emulated, "+title+", private", "MB", false, each(u.Own))
	b.out.add("emulated_pss_"+key, "emulated, "+title+", PSS", "MB", false, each(u.Pss))
}

// emulatedStart measures whole commands, and from the monitor's start to the agent's
// answer. The first of each warms up, and saves the machine if there is one to save. before,
// unless nil, is called before each command.
func (b *bench) emulatedStart(ctx context.Context, r *runtime, key, title string, n int, before func()) {
	b.progress("emulated: %d rounds, %s", n, title)
	run, boot := map[string][]float64{}, map[string][]float64{}
	if before == nil {
		before = func() {}
	}
	for i := range n + 1 {
		before()
		took, err := b.once(ctx, r, b.truth)
		var s *kataState
		if err == nil {
			before()
			s, err = b.phasesOnce(ctx, r)
		}
		if err != nil {
			b.failed(ctx, title, r, err)
			return
		}
		if i > 0 {
			run[kata] = append(run[kata], took.Seconds()*1e3)
			boot[kata] = append(boot[kata], s.Timings["boot_ms"])
		}
	}
	b.out.add(key+"_run", title+", run /bin/true", "ms", false, run)
	b.out.add(key+"_boot", title+", agent answers", "ms", false, boot)
}

// emulatedMemory measures idle machines that start from one saved machine.
func (b *bench) emulatedMemory(ctx context.Context, r *runtime, key string, n int) {
	b.progress("emulated: memory of %d", n)
	var ids []string
	defer func() {
		for _, id := range ids {
			b.tidy(r, id)
		}
	}()
	for range n {
		id, err := b.up(ctx, r)
		ids = append(ids, id)
		if err != nil {
			b.failed(ctx, "emulated memory", r, err)
			return
		}
	}
	time.Sleep(b.settle)
	u, err := b.usage(ctx, r, ids)
	if err != nil {
		b.failed(ctx, "emulated memory", r, err)
		return
	}
	b.memoryRows(key, fmt.Sprintf("with a container that sleeps, each of %d", n), u, n)
}
