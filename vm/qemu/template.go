package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"kata/jail"
	"kata/vm"
	"kata/vm/template"
)

// Templates implements vm.Templated.
func (Driver) Templates(options map[string]string) *template.Store {
	return template.NewStore(options["template_dir"])
}

// SaveTemplate implements vm.Templated.
func (d Driver) SaveTemplate(ctx context.Context, s vm.Spec) (string, error) {
	if err := saves(s); err != nil {
		return "", fmt.Errorf("qemu: %w", err)
	}
	if !jail.CanSubstitute() {
		return "", errors.New("qemu: machines start from saved ones where the host has Linux 5.14 or newer")
	}
	target, accel, err := admit(s)
	if err != nil {
		return "", err
	}
	r := recipe(ctx, target, s, accel)
	t, err := d.Templates(s.Options).Get(ctx, r)
	if err != nil {
		return "", err
	}
	t.Close()
	return r.ID(), nil
}

// store is where templates are, nil if none are to be used.
func store(options map[string]string) *template.Store {
	if options["template"] != "true" || options["template_dir"] == "" || !jail.CanSubstitute() {
		return nil
	}
	return template.NewStore(options["template_dir"])
}

// ignoreShared keeps memory that is in a shared file out of the saved state.
var ignoreShared = map[string]any{"capabilities": []any{map[string]any{"capability": "x-ignore-shared", "state": true}}}

// recipe is the template for machines such as s.
func recipe(ctx context.Context, t *target, s vm.Spec, accel accelerator) *template.Recipe {
	// What belongs to one machine is no part of it.
	s = vm.Spec{Name: "template", Kernel: s.Kernel, Agent: s.Agent, Arch: s.Arch, MemoryMiB: s.MemoryMiB, VCPUs: s.VCPUs,
		NICs: slices.Clone(s.NICs), Verbose: s.Verbose, Options: s.Options}
	for i := range s.NICs {
		s.NICs[i].Socket, s.NICs[i].Namespace = nil, nil
	}
	name := fmt.Sprintf("%s %s for %s (%s), %d MiB, %d CPUs, %d network devices", Name, accel, t.arch, t.name, s.MemoryMiB, s.VCPUs, len(s.NICs))
	if byVirtiofs(s.Options) {
		name += ", shares by " + virtiofs
	}
	return &template.Recipe{
		Name: name,
		Key:  append(t.commandLine(s, accel, original, 0), t.program, s.Kernel, s.Agent),
		Inputs: func() ([]template.Input, error) {
			files, err := t.inputs(s, accel)
			return append(files, template.Input{Path: s.Agent}), err
		},
		Make: func(dir string, files []template.Input) error { return save(ctx, t, s, accel, dir, files) },
	}
}

// saves says why machines such as s do not start from templates, nil if they do: disks
// belong to one machine, and could be of any number and kind; a device that has a daemon
// behind it cannot be saved, and not every machine type can be given one later.
func saves(s vm.Spec) error {
	if len(s.Disks) > 0 {
		return errors.New("a machine with disks cannot be saved")
	}
	if t, err := targetOf(s.Arch, s.Options); err == nil && t.late == nil && byVirtiofs(s.Options) {
		return fmt.Errorf("a machine of type %s with share = %q cannot be saved; one with share = %q in [qemu] can", t.name, virtiofs, ninep)
	}
	return nil
}

// startSaved starts a machine from its template, which is made if it is not there. A
// machine that cannot be saved, for want of space or whatever else, boots: should it be
// to blame, the boot says why.
func startSaved(ctx context.Context, s vm.Spec, from *template.Store) (*machine, error) {
	target, accel, err := admit(s)
	if err != nil {
		return nil, prepareError(err)
	}
	t, err := from.Get(ctx, recipe(ctx, target, s, accel))
	if err == nil {
		defer t.Close()
		return startClone(target, s, accel, t)
	}
	if b, ok := errors.AsType[*vm.BootError](err); ok && ctx.Err() != nil {
		return nil, b // its format has more than one line
	} else if ctx.Err() != nil {
		return nil, prepareError(err)
	}
	m, berr := start(s)
	if berr != nil {
		return nil, berr
	}
	m.notes = append(m.notes, fmt.Sprintf("the machine boots, which takes longer than to start a saved one: %v", err))
	return m, nil
}

// startClone starts a machine from a template.
func startClone(target *target, s vm.Spec, accel accelerator, t *template.Template) (_ *machine, err error) {
	cfg := target.jailConfig(s, accel, clone, t.Inputs)
	cfg.Substitute = t.MemoryFile
	if s.Console != nil {
		_, _ = s.Console.Write(t.Log)
	}
	m := &machine{target: target, carrier: target.carries(s, accel), greeted: t.Output, template: t.Check}
	if byVirtiofs(s.Options) {
		cfg.Copied = true
		_, err = m.withDaemon(s, func(conn *os.File) (*machine, error) { return m.run(s, cfg, t.StateFile, conn) })
	} else {
		_, err = m.run(s, cfg, t.StateFile)
	}
	if err != nil {
		return nil, err
	}
	go m.resume(lastFD(s, m.carrier))
	return m, nil
}

// resume has QEMU read the devices' state, and run.
func (m *machine) resume(fd int) {
	err := m.monitor.run("migrate-set-capabilities", ignoreShared, nil)
	if err == nil {
		err = m.monitor.run("migrate-incoming", map[string]any{"uri": "fd:" + strconv.Itoa(fd)}, nil)
	}
	if err == nil && m.daemon != nil {
		err = m.addShareDevice()
	}
	if err != nil && !m.daemonEnded() {
		err = fmt.Errorf("start from a template: %w", err)
		m.failed.CompareAndSwap(nil, &err)
		m.Kill()
	}
}
