package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// emulated measures kata's machines of QEMU's emulation: those that boot, and those
// that start from a saved one.
func (b *bench) emulated(ctx context.Context) {
	i := slices.IndexFunc(b.runtimes, func(r *runtime) bool { return r.name == kata })
	if i < 0 {
		return
	}
	boots, err := b.emulator(b.runtimes[i], "boots", false)
	if err != nil {
		b.out.note("emulated: %v", err)
		return
	}
	starts, err := b.emulator(b.runtimes[i], "template", true)
	if err != nil {
		b.out.note("emulated: %v", err)
		return
	}
	b.emulatedStart(ctx, boots, "emulated_boots", "emulated, boots", max(b.n/4, 1))
	b.emulatedStart(ctx, starts, "emulated_template", "emulated, from a template", b.n)
	b.emulatedMemory(ctx, starts, "1", 1)
	b.emulatedMemory(ctx, starts, "many", b.many)
	if !b.quick {
		b.emulatedMemory(ctx, starts, "10", 10)
		b.emulatedMemory(ctx, starts, "50", 50)
	}
}

// emulator is kata with a configuration of its own.
func (b *bench) emulator(r *runtime, name string, template bool) (*runtime, error) {
	file := filepath.Join(b.dir, name+".toml")
	text := fmt.Sprintf("hypervisor = \"qemu\"\n[qemu]\naccelerator = \"tcg\"\ntemplate = %v\ntemplate_dir = %q\n", template, filepath.Join(b.dir, "machines"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	with := *r
	with.global = append(slices.Clone(r.global), "--hypervisor", "qemu", "--config", file)
	return &with, nil
}

// emulatedStart measures whole commands, and from the monitor's start to the agent's
// answer. The first of each warms up, and saves the machine if there is one to save.
func (b *bench) emulatedStart(ctx context.Context, r *runtime, key, title string, n int) {
	b.progress("emulated: %d rounds, %s", n, title)
	run, boot := map[string][]float64{}, map[string][]float64{}
	for i := range n + 1 {
		took, err := b.once(ctx, r, b.truth)
		var s *kataState
		if err == nil {
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
	each := func(kibs int64) map[string][]float64 {
		return map[string][]float64{kata: {float64(kibs) * kib / float64(n)}}
	}
	b.out.add("emulated_private_"+key, fmt.Sprintf("emulated, from a template, each of %d, private", n), "MB", false, each(u.Private))
	b.out.add("emulated_pss_"+key, fmt.Sprintf("emulated, from a template, each of %d, PSS", n), "MB", false, each(u.Pss))
}
