package engines

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPodmanNetworks(t *testing.T) {
	for name, test := range map[string]func(podman){
		"bridge": testBridge, "connect": testConnect, "pod": testPod, "kube": testKube, "generate": testGenerate,
	} {
		t.Run(name, func(t *testing.T) { test(newPodman(t)) })
	}
}

// serve answers each connection to its port 80 with the release of its kernel.
const serve = `while :; do uname -r | nc -l -p 80; done`

// background runs a container on whatever network Podman gives it.
func (p podman) background(name string, args ...string) {
	p.t.Helper()
	p.ok(append([]string{"run", "-d", "--name", name}, args...)...)
}

// ask has a client print what a server says; try connects until it is up.
func ask(t *testing.T, try func() (string, int)) {
	t.Helper()
	out, code := "", -1
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if out, code = try(); code == 0 && strings.TrimSpace(out) != "" {
			break
		}
	}
	if release := strings.TrimSpace(out); code != 0 || release == "" || release == hostUname || strings.Contains(release, "\n") {
		t.Errorf("exit code %d, the answer is %q; want a kernel's release that is not the host's %q", code, out, hostUname)
	}
}

// from has a container ask.
func (p podman) from(client, address string) {
	p.t.Helper()
	ask(p.t, func() (string, int) { return p.do("exec", client, "nc", "-w", "5", address, "80") })
}

func (p podman) address(name, network string) string {
	p.t.Helper()
	return strings.TrimSpace(p.ok("inspect", "--format", `{{(index .NetworkSettings.Networks "`+network+`").IPAddress}}`, name))
}

func testBridge(p podman) {
	p.background("server", "-p", "127.0.0.1:8080:80", p.image, "sh", "-c", serve)
	p.background("client", p.image, "sleep", "1000")
	ask(p.t, func() (string, int) { return dial("127.0.0.1:8080") })
	p.from("client", p.address("server", "podman"))
	if out := p.ok("exec", "client", "ip", "route"); !strings.Contains(out, "default via 10.88.0.1 dev eth0") {
		p.t.Errorf("routes: %q", out)
	}
}

func testConnect(p podman) {
	p.ok("network", "create", "second")
	defer p.do("network", "rm", "--force", "second")
	p.background("server", "--network", "second", p.image, "sh", "-c", serve)
	p.background("client", p.image, "sleep", "1000")
	p.ok("network", "connect", "second", "client")
	p.from("client", p.address("server", "second"))
	p.ok("network", "disconnect", "second", "client")
	if out := p.ok("exec", "client", "ip", "route"); strings.Contains(out, "eth1") {
		p.t.Errorf("after disconnect there are routes by eth1: %q", out)
	}
}

// testPod has two containers in one machine: what a pod shares is the kernel's.
func testPod(p podman) {
	p.ok("pod", "create", "--name", "pod", "--hostname", "together", "--infra-image", p.image, "--infra-command", "/bin/sleep 1000", "-p", "127.0.0.1:8081:80")
	defer p.do("pod", "rm", "--force", "--time", "0", "pod")
	p.background("server", "--pod", "pod", p.image, "sh", "-c", "echo shared >/dev/shm/file; "+serve)
	p.background("client", "--pod", "pod", p.image, "sleep", "1000")
	p.from("client", "127.0.0.1")
	ask(p.t, func() (string, int) { return dial("127.0.0.1:8081") })
	if out := p.ok("exec", "client", "cat", "/dev/shm/file"); out != "shared\n" {
		p.t.Errorf("/dev/shm of the other container: %q", out)
	}
	if out := p.ok("exec", "client", "hostname"); out != "together\n" {
		p.t.Errorf("host name %q", out)
	}
	boot := []string{"cat", "/proc/sys/kernel/random/boot_id"}
	server, client := p.ok(append([]string{"exec", "server"}, boot...)...), p.ok(append([]string{"exec", "client"}, boot...)...)
	if server != client {
		p.t.Errorf("two machines for one pod: %q, %q", server, client)
	}
	p.ok("pod", "stop", "--time", "0", "pod")
	p.ok("pod", "start", "pod")
	p.from("client", "127.0.0.1")
}

func testKube(p podman) {
	file := filepath.Join(p.t.TempDir(), "pod.yaml")
	text := "apiVersion: v1\nkind: Pod\nmetadata: {name: kube}\nspec:\n  containers:\n" +
		"  - {name: server, image: \"" + p.image + "\", command: [sh, -c, \"" + serve + "\"], ports: [{containerPort: 80, hostPort: 8082}]}\n" +
		"  - {name: client, image: \"" + p.image + "\", command: [sleep, \"1000\"], env: [{name: WORD, value: given}]}\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
	p.ok("kube", "play", file)
	p.from("kube-client", "127.0.0.1")
	ask(p.t, func() (string, int) { return dial("127.0.0.1:8082") })
	if out := p.ok("exec", "kube-client", "sh", "-c", "echo $WORD"); out != "given\n" {
		p.t.Errorf("environment: %q", out)
	}
	p.ok("kube", "down", file)
	if out := p.ok("ps", "-aq"); out != "" {
		p.t.Errorf("left after kube down: %q", out)
	}
}

// testGenerate has Podman describe what runs, and makes the same of the description.
func testGenerate(p podman) {
	p.ok("pod", "create", "--name", "pod", "--infra-image", p.image, "--infra-command", "/bin/sleep 1000", "-p", "127.0.0.1:8085:80")
	dir := p.t.TempDir()
	p.background("server", "--pod", "pod", "-v", dir+":/srv", "--env", "WORD=given", p.image, "sh", "-c", "echo $WORD >/srv/word; "+serve)
	ask(p.t, func() (string, int) { return dial("127.0.0.1:8085") })
	file := filepath.Join(p.t.TempDir(), "pod.yaml")
	p.ok("generate", "kube", "--filename", file, "pod")
	p.ok("pod", "rm", "--force", "--time", "0", "pod")
	if err := os.Remove(dir + "/word"); err != nil {
		p.t.Fatal(err)
	}
	p.ok("kube", "play", file)
	defer p.do("kube", "down", file)
	ask(p.t, func() (string, int) { return dial("127.0.0.1:8085") })
	if got, err := os.ReadFile(dir + "/word"); err != nil || string(got) != "given\n" {
		p.t.Errorf("what the container wrote: %q, %v", got, err)
	}
}
