package engines

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kata/test/loop"
)

func TestPodmanUse(t *testing.T) {
	for name, test := range map[string]func(podman){
		"exec": testExec, "follow": testFollow, "attach": testAttach, "directories": testDirectories, "refusals": testRefusals, "memory": testMemory, "update": testUpdate,
		"devices": testDevices, "descriptors": testDescriptors,
	} {
		t.Run(name, func(t *testing.T) { test(newPodman(t)) })
	}
}

func testExec(p podman) {
	p.idle("exec")
	out := p.ok("exec", "-u", "user", "-w", "/srv", "-e", "WORD=given", "exec", "sh", "-c", "echo $(id -u) $(pwd) $WORD")
	if out != "1000 /srv given\n" {
		p.t.Errorf("exec: %q", out)
	}
	for command, want := range map[string]int{"/no/such/command": 127, "/etc/passwd": 126} {
		if out, code := p.do("exec", "exec", command); code != want {
			p.t.Errorf("exec %s: exit code %d, want %d: %s", command, code, want, out)
		}
	}
	piped := p.cmd("exec", "-i", "exec", "wc", "-c")
	piped.Stdin = bytes.NewReader(make([]byte, 1<<20))
	if out, err := piped.Output(); err != nil || strings.TrimSpace(string(out)) != "1048576" {
		p.t.Errorf("exec -i: %q, %v", out, err)
	}
}

// testFollow reads what a container prints until it ends.
func testFollow(p podman) {
	p.start("follow", p.image, "sh", "-c", "echo first; while [ ! -e /srv/go ]; do sleep 0.1; done; echo last")
	var out bytes.Buffer
	logs := p.cmd("logs", "-f", "follow")
	logs.Stdout = &out
	if err := logs.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.ok("exec", "follow", "touch", "/srv/go")
	if err := logs.Wait(); err != nil || out.String() != "first\nlast\n" {
		p.t.Errorf("logs -f: %q, %v", &out, err)
	}
}

func testAttach(p podman) {
	p.start("attach", "-it", p.image)
	first := sit(p.t, p.cmd("attach", "attach"))
	first.do("word=kept; tty", "/dev/pts/0\r\n")
	first.detach()
	second := sit(p.t, p.cmd("attach", "attach"))
	second.do("echo it is $word", "it is kept\r\n")
	second.leave("exit 6\r", 0) // Podman does not pass the code on
	if out := strings.TrimSpace(p.ok("wait", "attach")); out != "6" {
		p.t.Errorf("exit code %s, want 6", out)
	}
}

// detach types the keys that detach, Ctrl-P and Ctrl-Q, until Podman has read them one
// by one: it does not know them when it gets both at once.
func (p person) detach() {
	p.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		p.Type(p.t, "\x10")
		time.Sleep(200 * time.Millisecond)
		p.Type(p.t, "\x11")
		select {
		case code := <-p.ended:
			if code != 0 {
				p.t.Errorf("exit code %d of the session that was left", code)
			}
			return
		case <-time.After(time.Second):
		}
	}
	p.t.Fatalf("the session cannot be left; the terminal shows %q", p)
}

// testDirectories copies a tree in and out again.
func testDirectories(p podman) {
	p.idle("tree")
	dir := p.t.TempDir()
	for name, mode := range map[string]os.FileMode{"a/b/file": 0o640, "a/program": 0o755} {
		file := filepath.Join(dir, "tree", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			p.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(name), mode); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := os.Symlink("b/file", dir+"/tree/a/link"); err != nil {
		p.t.Fatal(err)
	}
	p.ok("cp", dir+"/tree", "tree:/srv")
	if out := p.ok("exec", "tree", "sh", "-c", "cd /srv/tree/a; cat link; stat -c ' %a' b/file program"); out != "a/b/file 640\n 755\n" {
		p.t.Errorf("in the container: %q", out)
	}
	p.ok("cp", "tree:/srv/tree", dir+"/back")
	if out, err := exec.Command("diff", "-r", "--no-dereference", dir+"/tree", dir+"/back").CombinedOutput(); err != nil {
		p.t.Errorf("back on the host: %v: %s", err, out)
	}
}

// testRefusals has containers that cannot be: exit code 125, and nothing left.
func testRefusals(p podman) {
	for _, args := range [][]string{
		{"--network", "host", p.image, "true"},
		{"--sysctl", "kernel.panic=1", p.image, "true"},
		{"--security-opt", "seccomp=/no/such/file", p.image, "true"},
		{"--device", "/no/such/device", p.image, "true"},
	} {
		if out, code := p.do(append([]string{"run", "--rm"}, args...)...); code != 125 && code != 126 {
			p.t.Errorf("podman run %s: exit code %d, want 125 or 126: %s", strings.Join(args, " "), code, out)
		}
	}
	if out := p.ok("ps", "-aq"); out != "" {
		p.t.Errorf("left: %q", out)
	}
}

func testUpdate(p podman) {
	p.idle("update", "--cgroupns", "private", "--memory", "64m")
	p.ok("update", "--memory", "48m", "update")
	if out := p.ok("exec", "update", "cat", "/sys/fs/cgroup/memory.max"); out != "50331648\n" {
		p.t.Errorf("memory.max after update: %q", out)
	}
}

// testMemory has a container use more than it may.
func testMemory(p podman) {
	p.start("memory", "--memory", "32m", "--memory-swap", "32m", p.image, "tail", "/dev/zero")
	if out := strings.TrimSpace(p.ok("wait", "memory")); out != "137" {
		p.t.Errorf("exit code %s, want 137", out)
	}
}

// testDevices writes to a disk of the host's and opens a device that the guest has too.
func testDevices(p podman) {
	d := loop.New(p.t, 1<<20)
	run := func(access, command string) (string, int) {
		return p.do("run", "--rm", "--network", "none", "--device", d.Path+":/dev/xvda:"+access, "--device", "/dev/fuse", p.image, "sh", "-c", command)
	}
	if out, code := run("rwm", "printf text >/dev/xvda && : <>/dev/fuse && stat -c %t,%T /dev/fuse"); code != 0 || out != "a,e5\n" {
		p.t.Errorf("exit code %d: %q", code, out)
	}
	if b, err := os.ReadFile(d.Path); err != nil || !bytes.HasPrefix(b, []byte("text\x00")) {
		p.t.Errorf("the disk does not have what was written: %v", err)
	}
	if out, code := run("r", "head -c 4 /dev/xvda; : >/dev/xvda"); code == 0 || !strings.Contains(out, "text") {
		p.t.Errorf("a disk that may only be read: exit code %d: %q", code, out)
	}
}

// testDescriptors gives a container a pipe besides standard I/O.
func testDescriptors(p podman) {
	r, w, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Close()
	_, err = w.WriteString("through a pipe\n")
	if err = errors.Join(err, w.Close()); err != nil {
		p.t.Fatal(err)
	}
	c := p.cmd("run", "--rm", "--network", "none", "--preserve-fds", "1", p.image, "sh", "-c", "cat <&3")
	c.ExtraFiles = []*os.File{r}
	if out, err := c.CombinedOutput(); err != nil || string(out) != "through a pipe\n" {
		p.t.Errorf("%q, %v", out, err)
	}
}
