package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPodmanMore(t *testing.T) {
	for name, test := range map[string]func(podman){
		"terminal": testTerminal, "copy": testCopy, "pause": testPause, "top": testTop, "stats": testStats,
		"init": testInit, "secret": testSecret, "health": testHealth, "seccomp": testSeccomp,
		"limits": testLimits, "user namespace": testUserNamespace, "many": testMany,
	} {
		t.Run(name, func(t *testing.T) { test(newPodman(t)) })
	}
}

// idle starts a container that does nothing until it is ended.
func (p podman) idle(name string, args ...string) {
	p.t.Helper()
	p.start(name, append(args, p.image, "sleep", "1000")...)
}

func testTerminal(p podman) {
	shell := sit(p.t, p.cmd("run", "--rm", "-it", "--name", "shell", "--network", "none", p.image))
	shell.do("tty", "/dev/pts/0\r\n")
	shell.Resize(p.t, 40, 100)
	shell.do(awaitSize, "RESIZED\r\n")
	shell.do(`sh -c 'echo "RE"ADY; exec sleep 1000'`, "READY\r\n")
	shell.Type(p.t, "\x03")
	shell.do("echo code $?", "code 130\r\n")
	second := sit(p.t, p.cmd("exec", "-it", "shell", "sh"))
	second.do("tty", "/dev/pts/1\r\n")
	second.leave("exit 5\r", 5)
	shell.leave("exit 4\r", 4)
}

func testCopy(p podman) {
	p.idle("copy")
	file := filepath.Join(p.t.TempDir(), "in")
	if err := os.WriteFile(file, []byte("copied\n"), 0o644); err != nil {
		p.t.Fatal(err)
	}
	p.ok("cp", file, "copy:/srv/in")
	if out := p.ok("exec", "copy", "cat", "/srv/in"); out != "copied\n" {
		p.t.Errorf("in the container: %q", out)
	}
	p.ok("exec", "copy", "sh", "-c", "echo back >/srv/out")
	p.ok("cp", "copy:/srv/out", file)
	if got, err := os.ReadFile(file); err != nil || string(got) != "back\n" {
		p.t.Errorf("back on the host: %q, %v", got, err)
	}
}

func testPause(p podman) {
	p.idle("pause")
	p.ok("pause", "pause")
	if out := strings.TrimSpace(p.ok("inspect", "--format", "{{.State.Status}}", "pause")); out != "paused" {
		p.t.Errorf("status %q, want paused", out)
	}
	if out, code := p.do("exec", "pause", "true"); code == 0 {
		p.t.Errorf("exec into a paused container succeeded: %s", out)
	}
	p.ok("unpause", "pause")
	p.ok("exec", "pause", "true")
}

func testTop(p podman) {
	p.idle("top")
	if out := p.ok("top", "top", "-o", "pid,args"); !strings.Contains(out, "sleep 1000") {
		p.t.Errorf("top: %q", out)
	}
}

func testStats(p podman) {
	p.idle("stats")
	out := strings.TrimSpace(p.ok("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", "stats"))
	if !strings.HasPrefix(out, "stats ") || strings.Contains(out, " 0B /") {
		p.t.Errorf("stats: %q", out)
	}
}

func testInit(p podman) {
	out, code := p.run("--rm", "--init", p.image, "sh", "-c", "cat /proc/1/comm")
	if code != 0 || strings.TrimSpace(out) == "sh" {
		p.t.Errorf("exit code %d; PID 1 is %q", code, out)
	}
}

func testSecret(p podman) {
	file := filepath.Join(p.t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("hush"), 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.ok("secret", "create", "word", file)
	defer p.do("secret", "rm", "word")
	p.want("hush", "--secret", "word", p.image, "cat", "/run/secrets/word")
}

// testHealth runs the check itself: Podman has systemd call it.
func testHealth(p podman) {
	p.idle("health", "--health-cmd", "test -e /srv/well", "--health-interval", "disable", "--health-retries", "1")
	if out, code := p.do("healthcheck", "run", "health"); code != 1 {
		p.t.Errorf("an unhealthy container: exit code %d: %s", code, out)
	}
	p.ok("exec", "health", "touch", "/srv/well")
	p.ok("healthcheck", "run", "health")
	if out := strings.TrimSpace(p.ok("inspect", "--format", "{{.State.Health.Status}}", "health")); out != "healthy" {
		p.t.Errorf("health %q", out)
	}
}

func testSeccomp(p podman) {
	p.want("Seccomp:\t2", p.image, "grep", "^Seccomp:", "/proc/self/status")
}

func testLimits(p podman) {
	// Without a cgroup namespace of its own a container sees those of its whole machine.
	p.want("67108864", "--cgroupns", "private", "--memory", "64m", p.image, "cat", "/sys/fs/cgroup/memory.max")
	p.want("50", "--cgroupns", "private", "--pids-limit", "50", p.image, "cat", "/sys/fs/cgroup/pids.max")
}

// testMany looks for what one container more leaves each time; the stage does, too.
func testMany(p podman) {
	for i := range 10 {
		p.want(fmt.Sprint(i), p.image, "echo", fmt.Sprint(i))
	}
	if left, err := os.ReadDir("/run/kata"); err != nil || len(left) != 0 {
		p.t.Errorf("left below /run/kata: %v, %v", left, err)
	}
}

// testUserNamespace has Podman choose the owners of the image's files, too.
func testUserNamespace(p podman) {
	out := p.ok("run", "--rm", "--network", "none", "--uidmap", "0:100000:5000", "--gidmap", "0:200000:5000", p.image,
		"sh", "-c", "awk '{print $2}' /proc/self/uid_map; id -u; stat -c %u:%g /bin/busybox /dev")
	if out != "100000\n0\n0:0\n0:0\n" {
		p.t.Errorf("in the container: %q", out)
	}
}
