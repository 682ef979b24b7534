package container

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// reaper collects every child of this process: nothing here may use os/exec.
var reaper = sync.OnceValue(NewReaper)

func spec(args ...string) *api.Process {
	return &api.Process{Args: args, Cwd: "/", Env: []string{"PATH=/bin"}, SeparateStderr: true}
}

// launched is a process that waits for its release.
type launched struct {
	*process
	exit <-chan unix.WaitStatus
	out  *os.File
}

func devNull(t *testing.T) int {
	t.Helper()
	fd, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// launch clones a process that is ready to be released.
func launch(t *testing.T, p *api.Process, path string, flags uint64) launched {
	t.Helper()
	return launchFenced(t, p, &fence{}, path, flags)
}

func launchFenced(t *testing.T, p *api.Process, f *fence, path string, flags uint64) launched {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("these tests need root")
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	l := launched{out: os.NewFile(uintptr(pipe[0]), "output")}
	errOut, err := unix.Dup(pipe[1])
	if err != nil {
		t.Fatal(err)
	}
	l.process = &process{spec: p, exited: make(chan struct{}), stdio: &stdio{child: []int{devNull(t), pipe[1], errOut}}}
	if l.exit, err = l.clone(reaper(), flags, -1); err != nil {
		skipIfEmulated(t, err) // clone3
		t.Fatal(err)
	}
	l.script.addProcess(p, f, path, l.stdio.child)
	t.Cleanup(func() { l.out.Close(); unix.Close(l.pidfd) })
	return l
}

// result releases a process and returns what it wrote and how it ended.
func (l launched) result(t *testing.T) (string, uint32) {
	t.Helper()
	if err := l.run(); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(l.out)
	if err != nil {
		t.Fatal(err)
	}
	return string(out), exitStatus(<-l.exit)
}

func TestProgramRuns(t *testing.T) {
	tests := []struct {
		name   string
		args   []string
		flags  uint64
		out    string
		status uint32
	}{
		{"true", []string{"true"}, 0, "", 0},
		{"status and output", []string{"sh", "-c", "echo $0 $1; exit 7", "a", "b c"}, 0, "a b c\n", 7},
		{"signal", []string{"sh", "-c", "kill -9 $$"}, 0, "", 137},
		{"environment", []string{"env"}, 0, "PATH=/bin\n", 0},
		{"pid namespace", []string{"sh", "-c", "echo $$"}, unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC, "1\n", 0},
		{"session", []string{"sh", "-c", "set -- $(cat /proc/$$/stat); [ $1 = $6 ] && echo leader"}, 0, "leader\n", 0},
		{"descriptors", []string{"sh", "-c", "echo /proc/$$/fd/*"}, 0, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, status := launch(t, spec(tt.args...), "/bin/busybox", tt.flags).result(t)
			if status != tt.status || (tt.out != "" && out != tt.out) {
				t.Errorf("%q, status %d; want %q, %d", out, status, tt.out, tt.status)
			}
			if tt.name == "descriptors" && strings.Contains(out, "/fd/4") { // 3 is the shell's own
				t.Errorf("descriptors leaked: %s", out)
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	p := spec("cat", "/proc/self/status")
	p.UID, p.GID, p.Groups, p.NoNewPrivileges = 1234, 2345, []uint32{7, 8}, true
	p.Umask, p.UmaskSet = 0o77, true
	const kept = 1<<unix.CAP_CHOWN | 1<<unix.CAP_NET_BIND_SERVICE
	p.Capabilities = api.Capabilities{Bounding: kept, Effective: kept, Permitted: kept, Inheritable: kept, Ambient: 1<<unix.CAP_CHOWN | 1<<unix.CAP_SYS_ADMIN}
	p.Rlimits = []api.Rlimit{{Type: unix.RLIMIT_NOFILE, Soft: 50, Hard: 60}}
	out, status := launch(t, p, "/bin/busybox", 0).result(t)
	if status != 0 {
		t.Fatalf("status %d: %s", status, out)
	}
	fields := strings.Join(strings.Fields(out), " ")
	for _, want := range []string{"Uid: 1234 1234 1234 1234", "Gid: 2345 2345 2345 2345", "Groups: 7 8", "NoNewPrivs: 1", "Umask: 0077",
		"CapBnd: 0000000000000401", "CapInh: 0000000000000401", "CapEff: 0000000000000001", "CapAmb: 0000000000000001"} {
		if !strings.Contains(fields, want) {
			t.Errorf("%q is missing in %s", want, out)
		}
	}
}

func TestFailingSteps(t *testing.T) {
	tests := []struct {
		name, step, path string
		errno            unix.Errno
		change           func(*api.Process)
	}{
		{"no command", "exec /nonexistent", "/nonexistent", unix.ENOENT, func(*api.Process) {}},
		{"no program", "exec /etc/passwd", "/etc/passwd", unix.EACCES, func(*api.Process) {}},
		{"cwd", "chdir to /nonexistent", "/bin/busybox", unix.ENOENT, func(p *api.Process) { p.Cwd = "/nonexistent" }},
		{"rlimit", "set a resource limit", "/bin/busybox", unix.EINVAL, func(p *api.Process) { p.Rlimits = []api.Rlimit{{Type: 99}} }},
		{"terminal", "make the terminal the controlling one", "/bin/busybox", unix.ENOTTY, func(p *api.Process) { p.Terminal = true }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := spec("true")
			tt.change(p)
			l := launch(t, p, tt.path, 0)
			err := l.script.release()
			l.stdio.started()
			step, ok := errors.AsType[*stepError](err)
			if !ok || step.step != tt.step || step.err != tt.errno || !errors.Is(err, tt.errno) {
				t.Errorf("%v, want %s: %v", err, tt.step, tt.errno)
			}
			if status := exitStatus(<-l.exit); status != 127 {
				t.Errorf("status %d, want 127", status)
			}
		})
	}
}

func TestRunNamesTheKind(t *testing.T) {
	for path, code := range map[string]api.Code{"/nonexistent": api.CodeNoCommand, "/etc/passwd": api.CodeNotExecutable} {
		l := launch(t, spec("x"), path, 0)
		if e, ok := errors.AsType[*api.Error](l.run()); !ok || e.Code != code {
			t.Errorf("%s: %v, want code %d", path, e, code)
		}
		<-l.exit
	}
}

func TestKilledBeforeRelease(t *testing.T) {
	l := launch(t, spec("true"), "/bin/busybox", 0)
	if err := l.signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if status := exitStatus(<-l.exit); status != 137 {
		t.Errorf("status %d, want 137", status)
	}
	if err := l.run(); err != nil { // must not wait for ever
		t.Errorf("release: %v", err)
	}
	if e, ok := errors.AsType[*api.Error](l.signal(unix.SIGTERM)); !ok || e.Code != api.CodeNotFound {
		t.Errorf("a signal after the end: %v", e)
	}
}

func TestManyAtOnce(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 20 {
		l := launch(t, spec("sh", "-c", "exit $0", string(rune('0'+i%10))), "/bin/busybox", 0)
		wg.Go(func() {
			if err := l.run(); err != nil {
				t.Error(err)
			}
			if got := exitStatus(<-l.exit); got != uint32(i%10) {
				t.Errorf("process %d: status %d", i, got)
			}
		})
	}
	wg.Wait()
}
