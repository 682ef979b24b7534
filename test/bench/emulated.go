package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"time"

	"kata/metrics"
)

// kind is what machines of QEMU's are called, and begins the keys of their rows.
func (b *bench) kind() string {
	if b.accelerator == emulation {
		return "emulated"
	}
	return b.accelerator
}

// emulation is QEMU's accelerator that is none.
const emulation = "tcg"

// emulated measures kata's machines of QEMU's emulation, or those that KVM runs: those that boot, those that
// start from a saved one, and those that wait for their container.
func (b *bench) emulated(ctx context.Context) {
	i := slices.IndexFunc(b.runtimes, func(r *runtime) bool { return r.name == kata })
	if i < 0 {
		return
	}
	const boots, virtiofs = "template = false", "share = \"virtiofs\""
	var kinds []*runtime
	for _, m := range []machines{{name: "boots", qemu: boots}, {name: "template"}, {name: "pool", pool: poolSize},
		{name: "boots2", cpus: 2, qemu: boots}, {name: "template2", cpus: 2},
		{name: "virtiofs-boots", qemu: boots + "\n" + virtiofs}, {name: "virtiofs", qemu: virtiofs}} {
		r, err := b.emulator(b.runtimes[i], m)
		if err != nil {
			b.out.note("%s: %v", b.kind(), err)
			return
		}
		kinds = append(kinds, r)
	}
	starts := kinds[1]
	b.emulatedStart(ctx, kinds[0], "boots", "boots", max(b.n/4, 1), nil)
	b.emulatedStart(ctx, starts, "template", "from a template", b.n, nil)
	b.emulatedStart(ctx, kinds[2], "pool", "from the pool", b.n, func() { b.waiting(ctx, poolSize) })
	if goruntime.NumCPU() > 1 {
		b.emulatedStart(ctx, kinds[3], "boots2", "2 processors, boots", max(b.n/4, 1), nil)
		b.emulatedStart(ctx, kinds[4], "template2", "2 processors, from a template", max(b.n/2, 1), nil)
	}
	b.emulatedStart(ctx, kinds[5], "virtiofs_boots", "with virtiofs, boots", max(b.n/4, 1), nil)
	b.emulatedStart(ctx, kinds[6], "virtiofs", "with virtiofs, from a template", b.n, nil)
	b.endPool(ctx, b.runtimes[i])
	b.idleMemory(ctx, b.runtimes[i], "1", 1)
	b.idleMemory(ctx, b.runtimes[i], "many", b.many)
	if !b.quick {
		b.idleMemory(ctx, b.runtimes[i], "10", 10)
		b.idleMemory(ctx, b.runtimes[i], "50", 50)
	}
	b.emulatedMemory(ctx, starts, "1", "", 1)
	b.emulatedMemory(ctx, starts, "many", "", b.many)
	b.emulatedMemory(ctx, kinds[0], "boots", "boots, ", max(b.many/4, 1))
	b.emulatedMemory(ctx, kinds[5], "virtiofs_boots", "with virtiofs, boots, ", max(b.many/4, 1))
	b.emulatedMemory(ctx, kinds[6], "virtiofs", "with virtiofs, ", b.many)
}

// endPool ends the machines that wait.
func (b *bench) endPool(ctx context.Context, r *runtime) {
	if _, err := b.emulator(r, machines{name: "pool"}); err != nil {
		b.out.note("%s: %v", b.kind(), err)
	}
	b.waiting(ctx, 0)
}

// poolSize is how many machines wait while the pool is measured.
const poolSize = 2

// machines are emulated ones of a kind: how many wait in the pool, the processors that
// each has, 0 being one, and settings of QEMU's table.
type machines struct {
	name       string
	pool, cpus int
	qemu       string
}

// emulator is kata with a configuration of its own.
func (b *bench) emulator(r *runtime, m machines) (*runtime, error) {
	file := filepath.Join(b.dir, m.name+".toml")
	text := fmt.Sprintf("hypervisor = \"qemu\"\npool_size = %d\ndefault_vcpus = %d\n[qemu]\naccelerator = %q\ntemplate_dir = %q\n%s\n",
		m.pool, max(m.cpus, 1), b.accelerator, filepath.Join(b.dir, "machines"), m.qemu)
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
	b.progress("%s: memory of %d that wait", b.kind(), n)
	defer b.endPool(ctx, r)
	with, err := b.emulator(r, machines{name: "pool", pool: n})
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
	b.out.add(b.kind()+"_own_"+key, b.kind()+", "+title+", private", "MB", false, each(u.Own))
	b.out.add(b.kind()+"_pss_"+key, b.kind()+", "+title+", PSS", "MB", false, each(u.Pss))
}

// emulatedStart measures whole commands, and from the monitor's start to the agent's
// answer. The first of each warms up, and saves the machine if there is one to save. before,
// unless nil, is called before each command.
func (b *bench) emulatedStart(ctx context.Context, r *runtime, key, title string, n int, before func()) {
	b.progress("%s: %d rounds, %s", b.kind(), n, title)
	run, boot := map[string][]float64{}, map[string][]float64{}
	key, title = b.kind()+"_"+key, b.kind()+", "+title
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

// emulatedMemory measures idle machines with a container.
func (b *bench) emulatedMemory(ctx context.Context, r *runtime, key, how string, n int) {
	b.progress("%s: memory of %d", b.kind(), n)
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
			b.failed(ctx, b.kind()+" memory", r, err)
			return
		}
	}
	time.Sleep(b.settle)
	u, err := b.usage(ctx, r, ids)
	if err != nil {
		b.failed(ctx, b.kind()+" memory", r, err)
		return
	}
	b.memoryRows(key, fmt.Sprintf("%swith a container that sleeps, each of %d", how, n), u, n)
}
