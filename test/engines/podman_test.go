package engines

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kata/test/stage"
)

// podman is an installation of its own: storage, state and configuration.
type podman struct {
	t     *testing.T
	flags []string
	image string
}

func newPodman(t *testing.T) podman {
	t.Helper()
	if _, err := exec.LookPath("podman"); err != nil {
		t.Fatalf("%v; hack/setup.sh engines installs it", err)
	}
	dir := filepath.Join(stage.Dir(), "podman")
	conf := filepath.Join(dir, "containers.conf")
	if err := os.MkdirAll(filepath.Join(dir, "net"), 0o755); err != nil {
		t.Fatal(err)
	}
	// Without CAP_SYS_RESOURCE the limits that Podman raises by default cannot be raised.
	text := fmt.Sprintf("[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n"+
		"[network]\nnetwork_backend = \"cni\"\ncni_plugin_dirs = [\"/usr/lib/cni\"]\nnetwork_config_dir = %q\n"+
		"[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n", dir+"/net")
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONTAINERS_CONF", conf)
	p := podman{t: t, image: "localhost/busybox:test", flags: []string{
		"--root", dir + "/storage", "--runroot", dir + "/run", "--tmpdir", dir + "/tmp", "--storage-driver", "overlay",
		"--runtime", wrapped.runtime, "--runtime-flag", "isolation=software"}}
	loaded := p.ok("load", "-q", "-i", imageFile)
	p.ok("tag", strings.TrimPrefix(strings.TrimSpace(loaded), "Loaded image: "), p.image)
	t.Cleanup(func() {
		p.do("rm", "--all", "--force", "--time", "0")
		// What Podman keeps is its own, not the containers'.
		removeCgroups("libpod_parent/conmon", "libpod_parent")
		_ = exec.Command("umount", "-R", dir+"/storage/overlay").Run()
		_ = exec.Command("umount", "/run/netns").Run()
		bridges, _ := filepath.Glob("/sys/class/net/cni-podman*")
		for _, b := range bridges {
			_ = exec.Command("ip", "link", "delete", filepath.Base(b)).Run()
		}
	})
	return p
}

// removeCgroups removes an engine's own cgroups once their last process, such as a
// conmon, has ended. One that does not empty stays, and the stage finds it.
func removeCgroups(names ...string) {
	for _, name := range names {
		found, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
		for _, dir := range append(found, "/sys/fs/cgroup/"+name) {
			deadline := time.Now().Add(5 * time.Second)
			for errors.Is(os.Remove(dir), unix.EBUSY) && time.Now().Before(deadline) {
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
}

// cmd prepares a command, which must end by itself.
func (p podman) cmd(args ...string) *exec.Cmd {
	return exec.Command("podman", slices.Concat(p.flags, args)...)
}

// do runs a command and returns its output and exit code.
func (p podman) do(args ...string) (string, int) {
	p.t.Helper()
	return complete(p.t, p.cmd(args...))
}

// ok runs a command that must succeed.
func (p podman) ok(args ...string) string {
	p.t.Helper()
	out, code := p.do(args...)
	if code != 0 {
		p.t.Fatalf("podman %s: exit code %d: %s", strings.Join(args, " "), code, out)
	}
	return out
}

// run is "podman run" with what is not supported yet switched off.
func (p podman) run(args ...string) (string, int) {
	p.t.Helper()
	return p.do(append([]string{"run", "--network", "none"}, args...)...)
}

// want fails the test unless a command printed exactly this.
func (p podman) want(want string, args ...string) {
	p.t.Helper()
	out, code := p.run(append([]string{"--rm"}, args...)...)
	if code != 0 || strings.TrimSpace(out) != want {
		p.t.Errorf("podman run %s: exit code %d, %q; want %q", strings.Join(args, " "), code, out, want)
	}
}

// start runs a container in the background.
func (p podman) start(name string, args ...string) {
	p.t.Helper()
	if out, code := p.run(append([]string{"-d", "--name", name}, args...)...); code != 0 {
		p.t.Fatalf("podman run -d %s: exit code %d: %s", strings.Join(args, " "), code, out)
	}
}

func TestPodman(t *testing.T) {
	for name, test := range map[string]func(podman){
		"kernel": testKernel, "codes": testCodes, "options": testOptions, "volumes": testVolumes, "life": testLife,
	} {
		t.Run(name, func(t *testing.T) { test(newPodman(t)) })
	}
}

func testKernel(p podman) {
	out, code := p.run("--rm", p.image, "uname", "-r")
	if release := strings.TrimSpace(out); code != 0 || release == "" || release == hostUname {
		p.t.Errorf("exit code %d, kernel %q: want one other than the host's %q", code, release, hostUname)
	}
}

func testCodes(p podman) {
	for command, want := range map[string]int{"exit 0": 0, "exit 7": 7} {
		if out, code := p.run("--rm", p.image, "sh", "-c", command); code != want {
			p.t.Errorf("%s: exit code %d, want %d: %s", command, code, want, out)
		}
	}
	if out, code := p.run("--rm", p.image, "/no/such/command"); code != 127 {
		p.t.Errorf("a command that is missing: exit code %d, want 127: %s", code, out)
	}
}

func testOptions(p podman) {
	p.want("1000", "--user", "user", p.image, "id", "-u")
	p.want("/srv", "--workdir", "/srv", p.image, "pwd")
	p.want("value", "--env", "NAME=value", p.image, "sh", "-c", "echo $NAME")
	p.want("there", "--hostname", "there", p.image, "hostname")
	p.want("lo", p.image, "sh", "-c", "ip -o addr | awk '{print $2}' | sort -u")
	p.want("read-only", "--read-only", "--read-only-tmpfs=false", p.image, "sh", "-c", "touch /srv/x 2>/dev/null || echo read-only")
	p.want("CapEff:\t0000000000000000", "--cap-drop", "all", p.image, "grep", "CapEff", "/proc/self/status")
}

func testVolumes(p podman) {
	dir := p.t.TempDir()
	if err := os.WriteFile(dir+"/file", []byte("from the host\n"), 0o644); err != nil {
		p.t.Fatal(err)
	}
	p.want("from the host", "-v", dir+":/srv", p.image, "cat", "/srv/file")
	p.want("from the host", "-v", dir+"/file:/srv/one", p.image, "cat", "/srv/one")
	p.want("read-only", "-v", dir+":/srv:ro", p.image, "sh", "-c", "touch /srv/x 2>/dev/null || echo read-only")
	p.want("tmpfs", "--mount", "type=tmpfs,notmpcopyup,dst=/srv", p.image, "sh", "-c", "grep ' /srv ' /proc/mounts | cut -d' ' -f1")
	p.want("", "-v", "kept:/srv", p.image, "sh", "-c", "echo kept >/srv/x")
	p.want("kept", "-v", "kept:/srv", p.image, "cat", "/srv/x")
	p.want("", "-v", dir+":/srv", p.image, "sh", "-c", "echo back >/srv/made")
	p.want("from the host\nnew", "-v", dir+":/srv:O", p.image, "sh", "-c", "cat /srv/file; echo new >/srv/file && touch /srv/other && cat /srv/file")
	if got, err := os.ReadFile(dir + "/file"); err != nil || string(got) != "from the host\n" {
		p.t.Errorf("the host's file below a container's layer: %q, %v", got, err)
	}
	if got, err := os.ReadFile(dir + "/made"); err != nil || string(got) != "back\n" {
		p.t.Errorf("what the container wrote: %q, %v", got, err)
	}
}

func testLife(p podman) {
	p.start("life", p.image, "sh", "-c", "echo up; trap 'echo down; exit 3' TERM; while :; do sleep 0.1; done")
	if out := p.ok("exec", "life", "uname", "-r"); strings.TrimSpace(out) == hostUname {
		p.t.Errorf("exec runs on the host's kernel %q", out)
	}
	if _, code := p.do("exec", "life", "sh", "-c", "exit 5"); code != 5 {
		p.t.Errorf("exec: exit code %d, want 5", code)
	}
	p.ok("stop", "--time", "20", "life")
	if out := p.ok("logs", "life"); out != "up\ndown\n" {
		p.t.Errorf("logs: %q", out)
	}
	if out := strings.TrimSpace(p.ok("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "life")); out != "exited 3" {
		p.t.Errorf("after stop: %q", out)
	}
	p.ok("start", "life")
	p.ok("restart", "--time", "20", "life")
	p.ok("kill", "life")
	if out := strings.TrimSpace(p.ok("wait", "life")); out != "137" {
		p.t.Errorf("wait after kill: %q", out)
	}
	p.ok("rm", "life")
	if out := p.ok("ps", "-aq"); out != "" {
		p.t.Errorf("left after rm: %q", out)
	}
}
