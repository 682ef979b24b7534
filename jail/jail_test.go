package jail

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// facts must match the probe's Facts.
type facts struct {
	UID, PID, PPID              int
	Effective, Permitted, Bound uint64
	NoNewPrivs                  int
	Root, Interfaces, Env       []string
	Open                        []int
	CPUs, NoFile                int
	Personality                 uintptr
	Errno                       map[string]int
}

func explore(t *testing.T, c *Config) facts {
	t.Helper()
	out, err := output(t, c)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var f facts
	if err := json.Unmarshal([]byte(out), &f); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return f
}

// shared is a directory on the host with a mount inside.
func shared(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("test", dir+"/sub", "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir+"/sub", unix.MNT_DETACH) })
	return dir
}

func TestConfinement(t *testing.T) {
	c := config(t, "facts")
	rw := t.TempDir()
	c.Binds = append(c.Binds, Bind{Source: shared(t), Target: "/ro", ReadOnly: true, Recursive: true}, Bind{Source: rw, Target: "/rw"})
	c.Dirs = []string{"/empty/dir"}
	c.Tmpfs, c.TmpfsBytes = "/memory", 8<<20
	c.Env = []string{"ONLY=this"}
	c.Capabilities = []int{unix.CAP_CHOWN, unix.CAP_FOWNER}
	c.Rlimits = []Rlimit{{unix.RLIMIT_NOFILE, 77}, {unix.RLIMIT_CORE, 0}}
	c.CPUs = []int{runtime.NumCPU() - 1}
	c.FixedAddresses = true
	c.Ioctls, c.IoctlTypes = []uint32{unix.TCGETS}, []byte{0xae}
	f := explore(t, c)

	const kept = 1<<unix.CAP_CHOWN | 1<<unix.CAP_FOWNER
	if f.UID != 0 || f.Effective != kept || f.Permitted != kept || f.Bound != kept {
		t.Errorf("uid %d, capabilities %x, %x, %x; want 0 and %x", f.UID, f.Effective, f.Permitted, f.Bound, kept)
	}
	if f.NoNewPrivs != 1 {
		t.Error("no_new_privs is not set")
	}
	if f.PPID != 1 || f.PID == 1 {
		t.Errorf("pid %d, parent %d: want a child of PID 1", f.PID, f.PPID)
	}
	if want := []string{"empty", "memory", "probe", "ro", "rw"}; !slices.Equal(f.Root, want) {
		t.Errorf("root has %q, want %q", f.Root, want)
	}
	if !slices.Equal(f.Interfaces, []string{"lo"}) {
		t.Errorf("network interfaces %q, want lo", f.Interfaces)
	}
	if !slices.Equal(f.Env, c.Env) {
		t.Errorf("environment %q, want %q", f.Env, c.Env)
	}
	if f.CPUs != 1 || f.NoFile != 77 || f.Personality&0x40000 == 0 {
		t.Errorf("%d CPUs, %d descriptors, personality %x", f.CPUs, f.NoFile, f.Personality)
	}
	if len(f.Open) < 3 || !slices.Equal(f.Open[:3], []int{0, 1, 2}) {
		t.Errorf("descriptors %v", f.Open)
	}
	checkTries(t, f.Errno)
	if entries, _ := os.ReadDir(c.Dir); len(entries) > 0 {
		t.Errorf("the jail's root is seen from outside: %v", entries)
	}
	if _, err := os.Stat(rw + "/new"); err != nil {
		t.Errorf("what was written to the writable bind: %v", err)
	}
}

func checkTries(t *testing.T, got map[string]int) {
	t.Helper()
	want := map[string]unix.Errno{
		// by lack of capability
		"mount": unix.EPERM, "remount": unix.EPERM, "umount": unix.EPERM, "chroot": unix.EPERM,
		"sethostname": unix.EPERM, "mknod": unix.EPERM,
		// by the filter
		"unshare": unix.EPERM, "unshare time": unix.EPERM, "unshare more": unix.EPERM, "bpf": unix.EPERM, "clone user": unix.EPERM, "clone net": unix.EPERM,
		"clone3": unix.ENOSYS, "ioctl": unix.ENOTTY, "ioctl of a type": unix.ENOTTY,
		// these pass: the kernel looks at the descriptor, which is none
		"ioctl allowed": unix.EBADF, "ioctl of a type allowed": unix.EBADF,
		"unshare fs": 0,
		// clone itself passes: the kernel refuses the flags that were chosen for that
		"clone": unix.EINVAL,
		// by the mounts
		"write root": unix.EROFS, "write ro": unix.EROFS, "write ro/sub": unix.EROFS, "write rw": 0,
		"write tmpfs": 0, "fill tmpfs": unix.ENOSPC, "chown": 0,
	}
	for what, errno := range got {
		if e, known := want[what]; !known || int(e) != errno {
			t.Errorf("%s: %v, want %v", what, unix.Errno(errno), e)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d things were tried, want %d", len(got), len(want))
	}
}

func TestDescriptors(t *testing.T) {
	// The runtime of the probe opens its own; busybox does not.
	c := busybox(t, `for i in 0 1 2 3 4 5 6 7 8 9; do if (: <&$i) 2>&1; then echo $i; fi; done`)
	out, err := output(t, c)
	open := slices.DeleteFunc(strings.Fields(out), func(s string) bool { return len(s) != 1 }) // the rest complains of those that are not
	if err != nil || !slices.Equal(open, []string{"0", "1", "2"}) {
		t.Errorf("descriptors %q, %v; want 0 1 2", out, err)
	}
}

func busybox(t *testing.T, script string) *Config {
	t.Helper()
	c := config(t)
	c.Binds = []Bind{{Source: "/bin/busybox", Target: "/bin/busybox", ReadOnly: true}}
	c.Args = []string{"/bin/busybox", "sh", "-c", script}
	return c
}

func TestBusybox(t *testing.T) {
	tests := []struct{ name, script, out, err string }{
		{"root", "/bin/busybox ls /", "bin\n", ""},
		{"identity", "/bin/busybox id -u", "0\n", ""},
		{"read-only program", ": >/bin/busybox", "", "exit code 1"},
		{"exit code", "exit 42", "", "exit code 42"},
		{"signal", "kill -TERM $$", "", "killed by signal 15 (terminated)"},
		{"signal 9", "kill -9 $$", "", "killed by signal 9 (killed)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := output(t, busybox(t, tt.script))
			if got := errorText(err); got != tt.err || (tt.out != "" && out != tt.out) {
				t.Errorf("output %q, error %q; want %q, %q", out, got, tt.out, tt.err)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestBindsNotRecursiveByDefault(t *testing.T) {
	dir := shared(t)
	if err := os.WriteFile(dir+"/sub/inside", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, recursive := range []bool{false, true} {
		c := busybox(t, "/bin/busybox ls /x/sub")
		c.Binds = append(c.Binds, Bind{Source: dir, Target: "/x", Recursive: recursive})
		if out, err := output(t, c); err != nil || (out == "inside\n") != recursive {
			t.Errorf("recursive %v: %q, %v", recursive, out, err)
		}
	}
}

func TestOverlay(t *testing.T) {
	lower, upper, work := shared(t), t.TempDir(), t.TempDir()
	c := busybox(t, "/bin/busybox ls -d /x/sub && echo new >/x/file")
	b := Bind{Source: "overlay", Overlay: "lowerdir=" + lower + ",upperdir=" + upper + ",workdir=" + work, Target: "/x"}
	c.Binds = append(c.Binds, b)
	if out, err := output(t, c); err != nil || out != "/x/sub\n" {
		t.Fatalf("%q, %v", out, err)
	}
	if got, err := os.ReadFile(upper + "/file"); err != nil || string(got) != "new\n" {
		t.Errorf("the upper layer: %q, %v", got, err)
	}
	if _, err := os.Stat(lower + "/file"); err == nil {
		t.Error("the lower layer was written to")
	}
	b.Overlay = "lowerdir=/no/such/directory"
	if _, _, err := openBind(b); err == nil || !strings.Contains(err.Error(), "overlay: ") {
		t.Errorf("a layer that is missing: %v", err)
	}
}

func TestForeignNumbersAreKilled(t *testing.T) {
	out, err := output(t, config(t, "x32"))
	if errorText(err) != "killed by signal 31 (bad system call)" || out != "" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestNothingOutlivesTheProcess(t *testing.T) {
	p, r := start(t, config(t, "leave"))
	wait(t, p)
	if err := p.Err(); err != nil {
		t.Error(err)
	}
	// The child holds the output: its end is the child's.
	if _, err := io.ReadAll(r); err != nil {
		t.Error(err)
	}
	p.Kill() // too late, harmless
	noChildren(t)
}

func TestKill(t *testing.T) {
	p, r := start(t, config(t, "sleep"))
	if line, err := bufio.NewReader(r).ReadString('\n'); err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	select {
	case <-p.Done():
		t.Fatal("ended by itself")
	default:
	}
	for range 3 {
		go p.Kill()
	}
	wait(t, p)
	if err := p.Err(); errorText(err) != "killed by signal 9 (killed)" {
		t.Errorf("Err: %v", err)
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
	noChildren(t)
}

func TestStartFailures(t *testing.T) {
	tests := []struct {
		name, want string
		change     func(*Config)
	}{
		{"missing command", "jail: execute /nope: no such file or directory", func(c *Config) { c.Args[0] = "/nope" }},
		{"command is no program", "jail: execute /text: exec format error", func(c *Config) {
			file := filepath.Join(c.Dir, "..", "text")
			if err := os.WriteFile(file, []byte("text\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			c.Args[0], c.Binds = "/text", append(c.Binds, Bind{Source: file, Target: "/text"})
		}},
		{"missing bind", "jail: let /nonexistent/file in: no such file or directory", func(c *Config) {
			c.Binds = append(c.Binds, Bind{Source: "/nonexistent/file", Target: "/x"})
		}},
		{"missing directory", "jail: build the root: mount a tmpfs at /nonexistent: no such file or directory", func(c *Config) { c.Dir = "/nonexistent" }},
		{"CPU", "jail: place on CPUs [1000]", func(c *Config) { c.CPUs = []int{1000} }},
		{"rlimit", "jail: resource limit 99", func(c *Config) { c.Rlimits = []Rlimit{{99, 1}} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := config(t, "sleep")
			tt.change(c)
			p, err := Start(c)
			if err == nil {
				p.Kill()
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want %q", err, tt.want)
			}
			noChildren(t)
		})
	}
}

// The owner is killed without a chance to clean up; the jail goes with it.
func TestOwnerDies(t *testing.T) {
	c := config(t, "sleep")
	spec, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{ownerName}
	cmd.Stdin, cmd.ExtraFiles = bytes.NewReader(spec), []*os.File{w}
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(cmd.Start(), w.Close()); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(said).ReadString('\n'); !strings.HasPrefix(line, "pid ") {
		t.Fatalf("owner: %q, %v", line, err)
	}
	if line, err := bufio.NewReader(r).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	ended := make(chan error, 1)
	go func() { // all in the jail hold the other end
		_, err := io.ReadAll(r)
		ended <- err
	}()
	p := &Process{exited: make(chan struct{})}
	go func() { <-ended; close(p.exited) }()
	wait(t, p)
}
