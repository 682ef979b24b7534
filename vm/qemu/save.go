package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"kata/channel"
	"kata/jail"
	"kata/vm"
	"kata/vm/template"
)

// leastSpace is what must be free for a template, in bytes: a guest that has booted
// uses some 60 MB.
const leastSpace = 128 << 20

// save boots a machine and saves it in dir.
func save(ctx context.Context, t *target, s vm.Spec, accel accelerator, dir string, files []template.Input) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return err
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < leastSpace {
		return fmt.Errorf("no space: %s has %d MiB free, a saved machine needs %d (template_dir in [qemu] is another place, template = false does without)",
			filepath.Dir(dir), free>>20, leastSpace>>20)
	}
	s.Dir = filepath.Join(dir, "machine")
	if err := os.Mkdir(s.Dir, 0o700); err != nil {
		return err
	}
	defer os.Remove(s.Dir)
	tail := &vm.ConsoleTail{}
	s.Console = tail
	m, err := bootOriginal(t, s, accel, dir, files)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, m.Kill)
	defer func() {
		stop()
		m.Kill()
		<-m.Done()
		m.Close()
		m.disconnect()
	}()
	// The agent speaks first, and waits: that is when it is saved.
	greeting := make([]byte, channel.GreetingBytes)
	if _, err := io.ReadFull(m.channel, greeting); err != nil {
		return m.bootError(ctx, err, tail)
	}
	if err := m.save(dir); err != nil {
		return m.bootError(ctx, err, tail)
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, template.Output), greeting, 0o600),
		os.WriteFile(filepath.Join(dir, template.Log), []byte(tail.String()+"\n"), 0o600))
}

// bootOriginal starts a machine whose memory is a file in dir.
func bootOriginal(t *target, s vm.Spec, accel accelerator, dir string, files []template.Input) (*machine, error) {
	memory := filepath.Join(dir, template.Memory)
	if err := os.WriteFile(memory, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Truncate(memory, int64(s.MemoryMiB)<<20); err != nil {
		return nil, err
	}
	cfg := t.jailConfig(s, accel, original, files)
	cfg.Binds = append(cfg.Binds, jail.Bind{Source: memory, Target: memoryPath})
	return t.boot(s, accel, cfg)
}

var errEnded = errors.New("the machine ended")

// bootError finds the cause behind an error: the time was up, or the machine ended.
func (m *machine) bootError(ctx context.Context, err error, tail *vm.ConsoleTail) error {
	select {
	case <-m.Done():
		err = errEnded
		if cause := m.Err(); cause != nil {
			err = fmt.Errorf("%w: %w", err, cause)
		}
	case <-time.After(endGrace):
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return &vm.BootError{Phase: vm.PhaseKernel, Cause: err, Console: tail.String()}
}

const (
	// endGrace is how long a machine whose channel broke may take to be gone.
	endGrace = 500 * time.Millisecond
	savePoll = 5 * time.Millisecond
)

// save writes the state of the devices; the machine stops by that.
func (m *machine) save(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, template.State), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := m.monitor.run("migrate-set-capabilities", ignoreShared, nil); err != nil {
		return err
	}
	if err := m.monitor.run("getfd", map[string]any{"fdname": "state"}, nil, f); err != nil {
		return err
	}
	if err := m.monitor.run("migrate", map[string]any{"uri": "fd:state"}, nil); err != nil {
		return err
	}
	for {
		var st struct {
			Status string `json:"status"`
			Error  string `json:"error-desc"`
		}
		if err := m.monitor.run("query-migrate", nil, &st); err != nil {
			return err
		}
		switch st.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("save the machine: %s: %s", st.Status, st.Error)
		}
		time.Sleep(savePoll)
	}
}
