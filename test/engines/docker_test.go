package engines

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kata/test/stage"
)

// docker is a Docker Engine of its own: storage, state and configuration.
type docker struct {
	t   *testing.T
	usr string // its programs
	env []string
}

// dockerImage is what its containers are made of.
const dockerImage = "busybox:test"

// newDocker starts the engine for the whole of a test.
func newDocker(t *testing.T) docker {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	cache = filepath.Join(cache, "kata")
	if dir := os.Getenv("KATA_CACHE"); dir != "" {
		cache = dir
	}
	usr := filepath.Join(cache, "peers/docker/usr")
	dir := filepath.Join(stage.Dir(), "docker")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	daemon := filepath.Join(dir, "daemon.json")
	text := fmt.Sprintf(`{"data-root": "%[1]s/data", "exec-root": "%[1]s/exec", "pidfile": "%[1]s/docker.pid", "hosts": ["unix://%[1]s/docker.sock"],
"exec-opts": ["native.cgroupdriver=cgroupfs"], "storage-driver": "overlay2", "bip": "10.66.0.1/16", "default-runtime": "kata", "init-path": "/usr/bin/catatonit",
"runtimes": {"kata": {"path": %[2]q, "runtimeArgs": ["--isolation", "software"]}}}`, dir, wrapped.runtime)
	if err := os.WriteFile(daemon, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	client := fmt.Sprintf(`{"cliPluginsExtraDirs": [%q]}`, usr+"/libexec/docker/cli-plugins")
	if err := errors.Join(os.Mkdir(dir+"/client", 0o755), os.WriteFile(dir+"/client/config.json", []byte(client), 0o644)); err != nil {
		t.Fatal(err)
	}
	d := docker{t: t, usr: usr, env: append(os.Environ(), "DOCKER_HOST=unix://"+dir+"/docker.sock", "DOCKER_CONFIG="+dir+"/client",
		"PATH="+usr+"/bin:"+usr+"/sbin:"+os.Getenv("PATH"))}
	log, err := os.Create(filepath.Join(dir, "dockerd.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(usr, "sbin/dockerd"), "--config-file", daemon)
	cmd.Env, cmd.Stdout, cmd.Stderr = d.env, log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; hack/setup.sh engines fetches it", err)
	}
	t.Cleanup(func() { d.stop(cmd, dir) })
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(dir + "/docker.sock"); err == nil {
			if _, code := d.do("version"); code == 0 {
				break
			}
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("dockerd does not answer:\n%s", said)
		}
	}
	root := filepath.Join(dir, "rootfs.tar")
	if out, err := exec.Command("tar", "-C", filepath.Join(stage.Dir(), "rootfs"), "-cf", root, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	d.ok("import", "-c", `CMD ["sh"]`, "-c", "ENV PATH=/bin", root, dockerImage)
	return d
}

// stop ends the engine and takes away what it keeps for its next start.
func (d docker) stop(cmd *exec.Cmd, dir string) {
	if ids, _ := d.do("ps", "-aq"); ids != "" {
		d.do(append([]string{"rm", "--force", "--volumes"}, strings.Fields(ids)...)...)
	}
	_ = cmd.Process.Signal(unix.SIGTERM)
	_ = cmd.Wait()
	removeCgroups("docker")
	_ = exec.Command("umount", dir+"/exec/netns/default").Run()
	bridges, _ := filepath.Glob("/sys/class/net/br-*")
	for _, b := range append(bridges, "docker0") {
		_ = exec.Command("ip", "link", "delete", filepath.Base(b)).Run()
	}
	if d.t.Failed() {
		said, _ := os.ReadFile(filepath.Join(dir, "dockerd.log"))
		d.t.Logf("dockerd said, at the end:\n%s", said[max(0, len(said)-4096):])
	}
}

// cmd prepares a command, which must end by itself.
func (d docker) cmd(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(d.usr, "bin/docker"), args...)
	cmd.Env = d.env
	return cmd
}

// do runs a command and returns its output and exit code.
func (d docker) do(args ...string) (string, int) {
	d.t.Helper()
	return complete(d.t, d.cmd(args...))
}

// ok runs a command that must succeed.
func (d docker) ok(args ...string) string {
	d.t.Helper()
	out, code := d.do(args...)
	if code != 0 {
		d.t.Fatalf("docker %s: exit code %d: %s", strings.Join(args, " "), code, out)
	}
	return out
}

// want fails the test unless a container prints exactly this.
func (d docker) want(want string, args ...string) {
	d.t.Helper()
	out, code := d.do(append([]string{"run", "--rm"}, args...)...)
	if code != 0 || strings.TrimSpace(out) != want {
		d.t.Errorf("docker run %s: exit code %d, %q; want %q", strings.Join(args, " "), code, out, want)
	}
}

// start runs a container in the background.
func (d docker) start(name string, args ...string) {
	d.t.Helper()
	d.ok(append([]string{"run", "-d", "--name", name}, args...)...)
}

// inspect prints a field of a container.
func (d docker) inspect(name, field string) string {
	d.t.Helper()
	return strings.TrimSpace(d.ok("inspect", "--format", "{{"+field+"}}", name))
}

func (d docker) from(client, address string) {
	d.t.Helper()
	ask(d.t, func() (string, int) { return d.do("exec", client, "nc", "-w", "5", address, "80") })
}
