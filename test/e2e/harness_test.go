package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long anything may take before a test gives up. It is no
// performance goal: hosts that run tests are busy.
const patience = 3 * time.Minute

// host is one state directory with the containers in it.
type host struct {
	t      *testing.T
	root   string   // --root
	flags  []string // before the verb
	prefix string   // of the containers' ids
	count  atomic.Int64
	own    func(name string) bool // files below root that are the test's
}

var hosts atomic.Int64

// newHost makes a state directory, and checks at the end of the test that nothing
// is left: no process, mount, cgroup or file.
func newHost(t *testing.T) *host {
	t.Helper()
	root, err := os.MkdirTemp("", "ke")
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, root: root, flags: []string{"--root", root, "--isolation", "software"},
		prefix: fmt.Sprintf("e2e-%d-%d-", os.Getpid(), hosts.Add(1)), own: func(string) bool { return false }}
	t.Cleanup(func() {
		h.checkNothingLeft()
		h.sweep()
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	return h
}

// sweep removes what a failed test left, so that the next one starts clean.
func (h *host) sweep() {
	entries, _ := os.ReadDir(h.root)
	for _, e := range entries {
		if e.IsDir() {
			h.kata("delete", "--force", e.Name())
		}
	}
	for pid := range descendants() {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	reap()
}

// newID returns an id that nobody else has.
func (h *host) newID() string { return h.prefix + strconv.FormatInt(h.count.Add(1), 10) }

// result of a command.
type result struct {
	args           []string
	stdout, stderr string
	code           int
}

func (r result) String() string {
	return fmt.Sprintf("kata-runtime %s: exit code %d\nstdout: %.2000q\nstderr: %.2000q", strings.Join(r.args, " "), r.code, r.stdout, r.stderr)
}

// cmd prepares a command; it is killed when it takes too long.
func (h *host) cmd(args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	h.t.Cleanup(cancel)
	c := exec.CommandContext(ctx, runtimeBin, append(append([]string{}, h.flags...), args...)...)
	c.Env = append(os.Environ(), "KATA_CONF_FILE="+emptyConf)
	return c
}

// kata runs a command with an empty standard input.
func (h *host) kata(args ...string) result {
	h.t.Helper()
	return h.kataInput(nil, args...)
}

// kataInput runs a command. Its output goes to files, as engines have it: what a
// detached container inherits would keep a pipe open.
func (h *host) kataInput(stdin io.Reader, args ...string) result {
	h.t.Helper()
	c := h.cmd(args...)
	c.Stdin = stdin
	out, errs := tempFile(h.t), tempFile(h.t)
	defer out.Close()
	defer errs.Close()
	c.Stdout, c.Stderr = out, errs
	code := exitCode(h.t, c.Run())
	return result{args, readFile(h.t, out.Name()), readFile(h.t, errs.Name()), code}
}

func tempFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// exitCode of a command, as a shell counts: 128 and the signal for a killed one.
func exitCode(t *testing.T, err error) int {
	t.Helper()
	e, ok := errors.AsType[*exec.ExitError](err)
	if err != nil && !ok {
		t.Errorf("run a command: %v", err)
		return -1
	}
	if !ok {
		return 0
	}
	if ws, ok := e.Sys().(unix.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return e.ExitCode()
}

// must runs a command that has to succeed in silence, and returns its output.
func (h *host) must(args ...string) string {
	h.t.Helper()
	r := h.kata(args...)
	if r.code != 0 || r.stderr != "" {
		h.t.Fatalf("want success and nothing on stderr; %s", r)
	}
	return r.stdout
}

// run runs a container in the foreground, with the wanted exit code, and returns
// what it printed.
func (h *host) run(code int, bundle string) result {
	h.t.Helper()
	r := h.kata("run", "--bundle", bundle, h.newID())
	if r.code != code {
		h.t.Fatalf("want exit code %d; %s", code, r)
	}
	return r
}

// runScript runs a shell script in a container that has to end with 0, and returns
// its standard output without the last line's end.
func (h *host) runScript(text string, edits ...edit) string {
	h.t.Helper()
	r := h.run(0, bundle(h.t, append([]edit{script(text)}, edits...)...))
	if r.stderr != "" {
		h.t.Errorf("want nothing on stderr; %s", r)
	}
	return strings.TrimSuffix(r.stdout, "\n")
}

// create makes a container that is deleted at the end of the test.
func (h *host) create(bundle string, flags ...string) string {
	h.t.Helper()
	id := h.newID()
	h.deleteLater(id)
	h.must(append(append([]string{"create", "--bundle", bundle}, flags...), id)...)
	return id
}

// deleteLater deletes the container at the end of the test. It must succeed
// whatever has become of the container.
func (h *host) deleteLater(id string) {
	h.t.Cleanup(func() {
		if r := h.kata("delete", "--force", id); r.code != 0 || r.stderr != "" {
			h.t.Errorf("delete --force must always succeed; %s", r)
		}
	})
}

// start makes a container and starts it.
func (h *host) start(edits ...edit) string {
	h.t.Helper()
	id := h.create(bundle(h.t, edits...))
	h.must("start", id)
	return id
}

// view is the output of state.
type view struct {
	OCIVersion  string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Status      string            `json:"status"`
	PID         int               `json:"pid"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	Owner       string            `json:"owner"`
	Annotations map[string]string `json:"annotations"`
	Kata        struct {
		Isolation  string         `json:"isolation"`
		Hypervisor string         `json:"hypervisor"`
		Sandbox    string         `json:"sandbox"`
		PIDs       map[string]int `json:"pids"`
		Kernel     string         `json:"kernel"`
	} `json:"kata"`
}

func (h *host) state(id string) view {
	h.t.Helper()
	var v view
	decode(h.t, h.must("state", id), &v)
	return v
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("decode %.2000q: %v", text, err)
	}
}

func (h *host) wantStatus(id, want string) {
	h.t.Helper()
	if got := h.state(id).Status; got != want {
		h.t.Errorf("status of %s is %q, want %q", id, got, want)
	}
}

// eventually polls until f is satisfied.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	pause := time.Millisecond
	for deadline := time.Now().Add(patience); !f(); pause = min(2*pause, 100*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v it is still not so that %s", patience, what)
		}
		time.Sleep(pause)
	}
}

func (h *host) eventuallyStatus(id, want string) {
	h.t.Helper()
	eventually(h.t, id+" is "+want, func() bool { return h.state(id).Status == want })
}

// waitPID collects a process that an ended command has left to this one, and
// returns its exit code.
func waitPID(t *testing.T, pid int) int {
	t.Helper()
	code := make(chan int, 1)
	go func() {
		var ws unix.WaitStatus
		for {
			_, err := unix.Wait4(pid, &ws, 0, nil)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				t.Errorf("wait for process %d: %v", pid, err)
			}
			break
		}
		if ws.Signaled() {
			code <- 128 + int(ws.Signal())
			return
		}
		code <- ws.ExitStatus()
	}()
	select {
	case c := <-code:
		return c
	case <-time.After(patience):
		t.Fatalf("process %d does not end", pid)
		return -1
	}
}

func readPID(t *testing.T, file string) int {
	t.Helper()
	pid, err := strconv.Atoi(readFile(t, file))
	if err != nil {
		t.Fatalf("%s: %v", filepath.Base(file), err)
	}
	return pid
}

func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s lacks %q: %.2000q", what, p, text)
		}
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %.2000q, want %.2000q", what, fmt.Sprint(got), fmt.Sprint(want))
	}
}
