package engines

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestDay is a day's work of somebody who develops in containers.
func TestDay(t *testing.T) {
	p := newPodman(t)
	dir := debianFiles(t)
	for name, test := range map[string]func(podman, string){"develop": testDevelop, "redis": testRedis} {
		t.Run(name, func(t *testing.T) { p.t = t; test(p, dir) })
	}
}

// debianFiles is what debian.sh has made.
func debianFiles(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("./debian.sh").Output()
	if err != nil {
		t.Fatalf("%v; hack/setup.sh engines makes a Debian system, here is no network", err)
	}
	return strings.TrimSpace(string(out))
}

// debian is the system with a layer of its own for what a container changes.
func debian(dir string) string { return filepath.Join(dir, "rootfs") + ":O" }

// mirror serves a directory to the containers of Podman's bridge and returns its
// port. It has no name but the bridge's address.
func mirror(t *testing.T, dir string) int {
	t.Helper()
	l, err := net.Listen("tcp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(dir)), ReadHeaderTimeout: patience}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

// workTime is how long one piece of work may take on a host that is slow and busy.
const workTime = 5 * time.Minute

var statusLine = regexp.MustCompile(`status=([0-9]+)\r\n`)

// work types a command line into a shell, waits for its end and returns what appeared.
func (p person) work(line string) string {
	p.t.Helper()
	seen, began := len(p.String()), time.Now()
	p.Type(p.t, line+"; echo \"st\"atus=$?\r")
	for time.Since(began) < workTime {
		text := p.String()[seen:]
		if m := statusLine.FindStringSubmatchIndex(text); m != nil {
			if code := text[m[2]:m[3]]; code != "0" {
				p.t.Fatalf("%s: exit code %s: %s", line, code, text)
			}
			p.t.Logf("%5.1f s  %s", time.Since(began).Seconds(), line)
			return text[:m[0]]
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.t.Fatalf("%s: no end after %v: %s", line, workTime, p.String()[seen:])
	return ""
}

// prints fails the test unless a command line prints a line.
func (p person) prints(line, want string) {
	p.t.Helper()
	if out := p.work(line); !strings.HasSuffix(strings.TrimSuffix(out, "\r\n"), want) {
		p.t.Errorf("%s: %q, want %q", line, out, want)
	}
}

const cProgram = `#include <stdio.h>\nint main(void) { puts("hello from C"); return 0; }\n`

const goProgram = `package main\nimport ("fmt"; "runtime")\nfunc main() { c := make(chan string); go func() { c <- "hello from Go on " + runtime.GOOS }(); fmt.Println(<-c) }\n`

// testDevelop gives the container Go as people do who have it on the host: the
// installation, and a cache that has Go's own packages.
func testDevelop(p podman, dir string) {
	root, cache := goFiles(p.t, dir)
	source := p.t.TempDir()
	port := mirror(p.t, filepath.Join(dir, "mirror"))
	shell := sit(p.t, p.cmd("run", "--rm", "-it", "--name", "develop", "-v", root+":"+root+":ro", "-v", cache+":/var/cache/go",
		"-e", "GOCACHE=/var/cache/go", "-e", "GOTOOLCHAIN=local", "-e", "CGO_ENABLED=0", "-v", source+":/src", "-w", "/src", "--rootfs", debian(dir), "bash"))
	shell.work(fmt.Sprintf(". /etc/os-release; echo deb http://10.88.0.1:%d $VERSION_CODENAME main >/etc/apt/sources.list; echo 'Acquire::Languages \"none\";' >/etc/apt/apt.conf.d/10mirror", port))
	shell.work("apt-get update")
	shell.work("apt-get install -y --no-install-recommends procps")
	shell.prints("ps -o comm= 1", "bash")
	shell.work(`printf '` + cProgram + `' >hello.c && gcc -O2 -Wall -o hello hello.c`)
	shell.prints("./hello", "hello from C")
	shell.work(`mkdir greet && printf '` + goProgram + `' >greet/main.go && cd greet && PATH=$PATH:` + root + `/bin && go mod init greet`)
	shell.work("go build")
	shell.prints("./greet", "hello from Go on linux")
	shell.leave("exit 3\r", 3)
	if _, err := os.Stat(source + "/greet/greet"); err != nil {
		p.t.Errorf("what was built in the volume: %v", err)
	}
}

// goFiles are the host's installation of Go, and a cache below dir.
func goFiles(t *testing.T, dir string) (root, cache string) {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	cache = filepath.Join(dir, "go-build")
	cmd := exec.Command("go", "build", "fmt")
	cmd.Env = append(os.Environ(), "GOCACHE="+cache, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out)), cache
}

// testRedis has a server that keeps its data in a volume, and a client elsewhere.
func testRedis(p podman, dir string) {
	server := func() string {
		p.background("server", "-v", "redis:/data", "-w", "/data", "--rootfs", debian(dir), "redis-server", "--bind", "0.0.0.0", "--protected-mode", "no")
		return p.address("server", "podman")
	}
	client := func(address string, args ...string) (string, int) {
		p.t.Helper()
		return p.do(append([]string{"exec", "client", "redis-cli", "-h", address}, args...)...)
	}
	answer := func(address, want string, args ...string) {
		p.t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
			out, code := client(address, args...)
			if code == 0 && strings.TrimSpace(out) == want {
				return
			}
			if time.Now().After(deadline) {
				p.t.Fatalf("redis-cli %s: exit code %d, %q; want %q", strings.Join(args, " "), code, out, want)
			}
		}
	}
	defer p.do("volume", "rm", "--force", "redis")
	p.background("client", "--rootfs", debian(dir), "sleep", "1000")
	address := server()
	answer(address, "PONG", "ping")
	answer(address, "OK", "set", "word", "kept")
	if out, code := p.do("exec", "client", "redis-benchmark", "-h", address, "-q", "-n", "1000", "-t", "get,set"); code != 0 || strings.Count(out, "requests per second") != 2 {
		p.t.Errorf("redis-benchmark: exit code %d: %s", code, out)
	}
	p.ok("stop", "--time", "60", "server")
	if out := strings.TrimSpace(p.ok("inspect", "--format", "{{.State.ExitCode}}", "server")); out != "0" {
		p.t.Errorf("the server's exit code after stop is %s: it has not saved its data", out)
	}
	p.ok("rm", "server")
	answer(server(), "kept", "get", "word")
}
