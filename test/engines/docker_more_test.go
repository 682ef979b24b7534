package engines

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

func dockerTerminal(d docker) {
	shell := sit(d.t, d.cmd("run", "--rm", "-it", "--name", "shell", dockerImage))
	shell.do("tty", "/dev/pts/0\r\n")
	shell.Resize(d.t, 40, 100)
	shell.do(awaitSize, "RESIZED\r\n")
	second := sit(d.t, d.cmd("exec", "-it", "shell", "sh"))
	second.do("tty", "/dev/pts/1\r\n")
	second.leave("exit 5\r", 5)
	shell.leave("exit 4\r", 4)
}

func dockerAttach(d docker) {
	d.start("attach", "-it", dockerImage)
	first := sit(d.t, d.cmd("attach", "attach"))
	first.do("word=kept; tty", "/dev/pts/0\r\n")
	first.leave("\x10\x11", 1) // the keys that detach; Docker reports them as an error
	second := sit(d.t, d.cmd("attach", "attach"))
	second.do("echo it is $word", "it is kept\r\n")
	second.leave("exit 6\r", 6)
	d.ok("rm", "attach")
}

func dockerHealth(d docker) {
	d.start("health", "--health-cmd", "test -e /srv/well", "--health-interval", "200ms", "--health-retries", "1", dockerImage, "sleep", "1000")
	d.await("health", ".State.Health.Status", "unhealthy")
	d.ok("exec", "health", "touch", "/srv/well")
	d.await("health", ".State.Health.Status", "healthy")
	d.ok("rm", "--force", "health")
}

// await looks at a field of a container until it has the value.
func (d docker) await(name, field, want string) {
	d.t.Helper()
	d.until(want, "inspect", "--format", "{{"+field+"}}", name)
}

// until repeats a command until it prints what is wanted: what the engine reports
// may come after what it did.
func (d docker) until(want string, args ...string) {
	d.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		got := strings.TrimSpace(d.ok(args...))
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("docker %s prints %q, want %q", strings.Join(args, " "), got, want)
		}
	}
}

// composition is two services: the second waits until the first is well.
const composition = `name: composed
services:
  server:
    image: busybox:test
    command: [sh, -c, "SERVE"]
    init: true
    ports: ["127.0.0.1:8086:80"]
    healthcheck: {test: "nc -w 5 127.0.0.1 80", interval: 200ms, retries: 300}
  client:
    image: busybox:test
    command: [sh, -c, "echo $$WORD; exec sleep 1000"]
    init: true
    environment: {WORD: given}
    volumes: ["kept:/srv"]
    depends_on: {server: {condition: service_healthy}}
volumes: {kept: {}}
`

func dockerCompose(d docker) {
	file := filepath.Join(d.t.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(composition, "SERVE", serve)), 0o644); err != nil {
		d.t.Fatal(err)
	}
	compose := func(args ...string) string {
		d.t.Helper()
		return d.ok(append([]string{"compose", "--file", file}, args...)...)
	}
	compose("up", "--detach", "--quiet-pull")
	ask(d.t, func() (string, int) { return dial("127.0.0.1:8086") })
	d.from("composed-client-1", "server")
	if out := compose("logs", "--no-log-prefix", "client"); out != "given\n" {
		d.t.Errorf("logs: %q", out)
	}
	compose("exec", "-T", "client", "touch", "/srv/file")
	compose("restart", "--timeout", "20", "client")
	if out := compose("exec", "-T", "client", "ls", "/srv"); out != "file\n" {
		d.t.Errorf("after restart the volume has %q", out)
	}
	compose("down", "--volumes", "--timeout", "20")
	if out := d.ok("ps", "-aq"); out != "" {
		d.t.Errorf("left after compose down: %q", out)
	}
}
