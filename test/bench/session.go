package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kata/metrics"
)

// commandLimit bounds one command of a runtime.
const commandLimit = 60 * time.Second

// session owns everything the benchmark makes: a directory and containers.
type session struct {
	dir string // temporary, absolute
	tag string // part of every container id, unique to this run

	mu   sync.Mutex
	next int
	live map[string]*runtime // by container id
	seen map[int]watched     // processes of containers, by pid
}

// watched is a process that has to end with its container.
type watched struct{ started, name string }

// newSession makes the directory.
func newSession() (*session, error) {
	dir, err := os.MkdirTemp("", "kata-bench-")
	if err != nil {
		return nil, err
	}
	tag := make([]byte, 4)
	if _, err := rand.Read(tag); err != nil {
		return nil, err
	}
	return &session{dir: dir, tag: "kb" + hex.EncodeToString(tag), live: map[string]*runtime{}, seen: map[int]watched{}}, nil
}

// newID returns a fresh container id and remembers it until it is forgotten:
// even a command that fails may have made something.
func (s *session) newID(r *runtime) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	id := fmt.Sprintf("%s-%d", s.tag, s.next)
	s.live[id] = r
	return id
}

// forget stops tracking a container that ended by itself.
func (s *session) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, id)
}

// run executes a verb of r and returns how long the whole command took and what
// it printed. The output goes to files, not pipes: a detached container keeps
// them open. The error ends with the tail of the command's messages.
func (s *session) run(ctx context.Context, r *runtime, args ...string) (time.Duration, []byte, error) {
	return s.exec(ctx, r.path, r.command(s.dir, args...)...)
}

// exec is run for any program.
func (s *session) exec(ctx context.Context, path string, args ...string) (time.Duration, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	var files [2]*os.File
	for i := range files {
		f, err := os.CreateTemp(s.dir, "output-")
		if err != nil {
			return 0, nil, err
		}
		defer os.Remove(f.Name())
		defer f.Close()
		files[i] = f
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = files[0], files[1]
	// An interrupt from the terminal is for the benchmark, which then ends the
	// command and deletes its container.
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	begin := time.Now()
	err := cmd.Run()
	took := time.Since(begin)
	out, _ := os.ReadFile(files[0].Name())
	if err != nil {
		if ctx.Err() == context.DeadlineExceeded {
			err = fmt.Errorf("no end within %v", commandLimit)
		}
		messages, _ := os.ReadFile(files[1].Name())
		messages = bytes.TrimSpace(messages)
		if len(messages) > 400 {
			messages = messages[len(messages)-400:]
		}
		err = fmt.Errorf("%s %s: %w: %s", filepath.Base(path), strings.Join(args, " "), err, messages)
	}
	return took, out, err
}

// remove deletes a container by force. It works after an interrupt too.
func (s *session) remove(r *runtime, id string) error {
	_, _, err := s.run(context.Background(), r, "delete", "--force", id)
	if err == nil {
		s.forget(id)
	}
	return err
}

// leftover is something that close found.
type leftover struct {
	text string // for people
	name string // the runtime it belongs to, or "" if that is unclear
}

// close deletes what is left and returns what the runtimes did not clean up.
func (s *session) close() (left []leftover) {
	s.mu.Lock()
	live := maps.Clone(s.live)
	s.mu.Unlock()
	for id, r := range live {
		if err := s.remove(r, id); err != nil {
			left = append(left, leftover{"not deleted: " + err.Error(), r.name})
		}
	}
	left = append(left, s.leftProcesses()...)
	for _, path := range mountsBelow(s.dir) {
		left = append(left, leftover{"left mounted: " + path, s.owner(path)})
		_ = unix.Unmount(path, unix.MNT_DETACH)
	}
	// A mount that stays could lead the removal out of the directory.
	if len(mountsBelow(s.dir)) > 0 {
		return append(left, leftover{"left in place because of mounts: " + s.dir, ""})
	}
	if err := os.RemoveAll(s.dir); err != nil {
		left = append(left, leftover{err.Error(), ""})
	}
	return left
}

// owner finds the runtime whose root directory a text mentions.
func (s *session) owner(text string) string {
	_, rest, ok := strings.Cut(text, s.dir+"/")
	if !ok || strings.HasPrefix(rest, "bundle-") || strings.HasPrefix(rest, "rootfs") {
		return ""
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r != '-' && (r < 'a' || r > 'z') })
	if end < 0 {
		end = len(rest)
	}
	return rest[:end]
}

// watch remembers processes of r, so that close can tell whether they ended.
func (s *session) watch(r *runtime, pids []int) {
	for _, pid := range pids {
		s.seen[pid] = watched{metrics.StartTime(pid), r.name}
	}
}

// leftProcesses waits a moment and then names the processes that still mention
// this run or were watched and are still there. They are reported, never killed:
// the runtime has to do that.
func (s *session) leftProcesses() (left []leftover) {
	var pids []int
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		pids = metrics.Mentioning(s.tag)
		for pid, w := range s.seen {
			if w.started != "" && metrics.StartTime(pid) == w.started && !slices.Contains(pids, pid) {
				pids = append(pids, pid)
			}
		}
		if len(pids) == 0 || time.Now().After(deadline) {
			break
		}
	}
	for _, pid := range pids {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		text := string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		name := s.seen[pid].name
		if name == "" {
			name = s.owner(text)
		}
		left = append(left, leftover{fmt.Sprintf("left running: process %d: %s", pid, text), name})
	}
	return left
}

// mountsBelow lists the mount points in dir, the deepest first.
func mountsBelow(dir string) (found []string) {
	data, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			found = append(found, f[4])
		}
	}
	slices.Reverse(found)
	return found
}
