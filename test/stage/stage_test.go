package stage_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"kata/test/stage"
)

// scene chooses what this program does on the stage.
const scene = "KATA_STAGE_TEST_SCENE"

func TestMain(m *testing.M) {
	if os.Getenv(scene) != "" {
		stage.Grace = 300 * time.Millisecond
		os.Exit(stage.Main(play))
	}
	os.Exit(m.Run())
}

func play() int {
	switch os.Getenv(scene) {
	case "code":
		return 42
	case "alone":
		if out, err := exec.Command("sh", "-c", `set -- /proc/[0-9]*; echo $#; ls /sys/class/net; ls -A /run; echo mark >/etc/kata-stage-mark`).Output(); err != nil {
			return 1
		} else if _, err := os.Stdout.Write(out); err != nil {
			return 1
		}
	case "root": // what is below the root: with v2 PID 1 makes a cgroup for itself
		out, _ := exec.Command("sh", "-c", `find /sys/fs/cgroup -mindepth 1 -type d ! -name stage -exec test -e {}/../tasks \; -print`).Output()
		if _, err := os.Stdout.Write(out); err != nil {
			return 1
		}
	case "process":
		if exec.Command("sleep", "1000").Start() != nil {
			return 2
		}
	case "mount":
		if exec.Command("mount", "-t", "tmpfs", "none", stage.Dir()).Run() != nil {
			return 2
		}
	case "cgroup":
		if exec.Command("sh", "-c", `for d in /sys/fs/cgroup/*/tasks; do mkdir ${d%/tasks}/forgotten; exit 0; done; mkdir /sys/fs/cgroup/forgotten`).Run() != nil {
			return 2
		}
	case "link":
		if exec.Command("ip", "link", "add", "forgotten", "type", "bridge").Run() != nil {
			return 2
		}
	}
	return 0
}

// perform runs this program again for a scene.
func perform(t *testing.T, name string) (string, int) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), scene+"="+name)
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

func TestStage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes namespaces and cgroups")
	}
	if out, code := perform(t, "code"); code != 42 {
		t.Errorf("exit code %d, want the program's 42: %s", code, out)
	}
	// init, the program, and sh.
	if out, code := perform(t, "alone"); code != 0 || out != "3\nlo\nlock\nnetns\n" {
		t.Errorf("on the stage (exit code %d) there is %q", code, out)
	}
	if out, code := perform(t, "root"); code != 0 || out != "" {
		t.Errorf("the stage's cgroups are not the roots of its hierarchies (exit code %d): %q", code, out)
	}
	if _, err := os.Stat("/etc/kata-stage-mark"); err == nil {
		t.Error("the stage's /etc is the host's")
	}
	for name, want := range map[string]string{
		"process": "process sleep 1000", "mount": "mount /var/tmp/kata-stage-", "cgroup": "/forgotten", "link": "interface forgotten",
	} {
		t.Run(name, func(t *testing.T) {
			if out, code := perform(t, name); code != 1 || !strings.Contains(out, want) {
				t.Errorf("exit code %d, output %q: want 1 and %q", code, out, want)
			}
		})
	}
}
