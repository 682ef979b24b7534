package engines

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// One engine serves all of them: its start takes longer than a test.
func TestDocker(t *testing.T) {
	d := newDocker(t)
	for name, test := range map[string]func(docker){
		"run": dockerRun, "volumes": dockerVolumes, "life": dockerLife, "restart": dockerRestart,
		"copy": dockerCopy, "stats": dockerStats, "networks": dockerNetworks,
		"terminal": dockerTerminal, "attach": dockerAttach, "health": dockerHealth, "compose": dockerCompose, "names": dockerNames, "top": dockerTop,
	} {
		t.Run(name, func(t *testing.T) { test(docker{t, d.usr, d.env}) })
	}
}

func dockerRun(d docker) {
	if release := strings.TrimSpace(d.ok("run", "--rm", dockerImage, "uname", "-r")); release == "" || release == hostUname {
		d.t.Errorf("kernel %q: want one other than the host's %q", release, hostUname)
	}
	for command, want := range map[string]int{"exit 7": 7, "kill -9 $$": 137} {
		if out, code := d.do("run", "--rm", "--init", dockerImage, "sh", "-c", command); code != want {
			d.t.Errorf("%s: exit code %d, want %d: %s", command, code, want, out)
		}
	}
	if out, code := d.do("run", "--rm", dockerImage, "/no/such/command"); code != 127 {
		d.t.Errorf("a command that is missing: exit code %d, want 127: %s", code, out)
	}
	if out, code := d.do("run", "--rm", "--network", "host", dockerImage); code == 0 || !strings.Contains(out, "the host's network, which a virtual machine cannot") {
		d.t.Errorf("the host's network: exit code %d: %s", code, out)
	}
	d.want("1000 /srv value there", "--user", "user", "--workdir", "/srv", "--env", "NAME=value", "--hostname", "there",
		dockerImage, "sh", "-c", "echo $(id -u) $(pwd) $NAME $(hostname)")
	d.want("docker-init", "--init", dockerImage, "cat", "/proc/1/comm")
	d.want("read-only", "--read-only", "--tmpfs", "/tmp", dockerImage, "sh", "-c", "touch /tmp/x && ! touch /srv/x 2>/dev/null && echo read-only")
	d.want("67108864 50", "--cgroupns", "private", "--memory", "64m", "--pids-limit", "50", dockerImage,
		"sh", "-c", "cd /sys/fs/cgroup; echo $(cat memory.max pids.max)")
	d.want("CapEff:\t0000000000000000\nSeccomp:\t2", "--cap-drop", "all", dockerImage, "grep", "-E", "^(CapEff|Seccomp):", "/proc/self/status")
	d.want("lo", "--network", "none", dockerImage, "sh", "-c", "ip -o addr | awk '{print $2}' | sort -u")
}

func dockerVolumes(d docker) {
	dir := d.t.TempDir()
	if err := os.WriteFile(dir+"/file", []byte("from the host\n"), 0o644); err != nil {
		d.t.Fatal(err)
	}
	d.want("from the host", "-v", dir+":/srv:ro", dockerImage, "cat", "/srv/file")
	d.want("", "-v", "kept:/srv", dockerImage, "sh", "-c", "echo kept >/srv/x")
	d.want("kept", "-v", "kept:/srv", dockerImage, "cat", "/srv/x")
	d.ok("volume", "rm", "kept")
}

func dockerLife(d docker) {
	d.start("life", dockerImage, "sh", "-c", "echo up; trap 'echo down; exit 3' TERM; while :; do sleep 0.1; done")
	if out := d.ok("exec", "life", "uname", "-r"); strings.TrimSpace(out) == hostUname {
		d.t.Errorf("exec runs on the host's kernel %q", out)
	}
	if _, code := d.do("exec", "life", "sh", "-c", "exit 5"); code != 5 {
		d.t.Errorf("exec: exit code %d, want 5", code)
	}
	d.ok("pause", "life")
	if status := d.inspect("life", ".State.Status"); status != "paused" {
		d.t.Errorf("status %q, want paused", status)
	}
	d.ok("unpause", "life")
	d.ok("stop", "--time", "20", "life")
	if out := d.ok("logs", "life"); out != "up\ndown\n" {
		d.t.Errorf("logs: %q", out)
	}
	if code := d.inspect("life", ".State.ExitCode"); code != "3" {
		d.t.Errorf("exit code after stop: %s, want 3", code)
	}
	d.ok("start", "life")
	d.ok("update", "--cpus", "1", "life")
	d.ok("kill", "life")
	if out := strings.TrimSpace(d.ok("wait", "life")); out != "137" {
		d.t.Errorf("wait after kill: %q", out)
	}
	// What monitoring looks at: the codes with which it ended, after stop and after kill.
	d.until("3\n137", "events", "--since", "1h", "--until", "0s", "--filter", "container=life", "--filter", "event=die",
		"--format", "{{.Actor.Attributes.exitCode}}")
	d.ok("rm", "life")
}

func dockerRestart(d docker) {
	d.start("again", "--restart", "on-failure:2", dockerImage, "sh", "-c", "exit 3")
	var got string
	for deadline := time.Now().Add(patience); got != "2 exited 3" && time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		got = d.inspect("again", ".RestartCount}} {{.State.Status}} {{.State.ExitCode")
	}
	if got != "2 exited 3" {
		d.t.Errorf("after --restart on-failure:2: %q", got)
	}
	d.ok("rm", "again")
}

func dockerCopy(d docker) {
	d.start("copy", dockerImage, "sleep", "1000")
	file := filepath.Join(d.t.TempDir(), "in")
	if err := os.WriteFile(file, []byte("copied\n"), 0o644); err != nil {
		d.t.Fatal(err)
	}
	d.ok("cp", file, "copy:/srv/in")
	if out := d.ok("exec", "copy", "cat", "/srv/in"); out != "copied\n" {
		d.t.Errorf("in the container: %q", out)
	}
	d.ok("exec", "copy", "sh", "-c", "echo back >/srv/out")
	d.ok("cp", "copy:/srv/out", file)
	if got, err := os.ReadFile(file); err != nil || string(got) != "back\n" {
		d.t.Errorf("back on the host: %q, %v", got, err)
	}
	d.ok("rm", "--force", "copy")
}

func dockerStats(d docker) {
	d.start("stats", dockerImage, "sleep", "1000")
	out := strings.TrimSpace(d.ok("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", "stats"))
	if !strings.HasPrefix(out, "stats ") || strings.HasPrefix(out, "stats 0B") {
		d.t.Errorf("stats: %q", out)
	}
	d.ok("rm", "--force", "stats")
}

func dockerNetworks(d docker) {
	d.ok("network", "create", "second")
	d.start("server", "-p", "127.0.0.1:8083:80", "--network", "second", dockerImage, "sh", "-c", serve)
	d.start("client", dockerImage, "sleep", "1000")
	ask(d.t, func() (string, int) { return dial("127.0.0.1:8083") })
	d.ok("network", "connect", "second", "client")
	d.from("client", d.inspect("server", ".NetworkSettings.Networks.second.IPAddress"))
	d.ok("network", "disconnect", "second", "client")
	if out := d.ok("exec", "client", "ip", "route"); strings.Contains(out, "eth1") {
		d.t.Errorf("after disconnect there are routes by eth1: %q", out)
	}
	d.ok("rm", "--force", "server", "client")
	d.ok("network", "rm", "second")
}
