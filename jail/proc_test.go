package jail

import (
	"strings"
	"testing"
)

// TestProc: the process sees itself in /proc, and not PID 1, whose executable and
// descriptors are the host's.
func TestProc(t *testing.T) {
	c := busybox(t, `/bin/busybox ls /proc/1 2>&1; /bin/busybox ls -l /proc/1/exe 2>&1; /bin/busybox ls /proc; echo self $$`)
	c.Proc = "/proc"
	out, _ := output(t, c)
	if strings.Count(out, "No such file") != 2 {
		t.Errorf("PID 1 is visible: %q", out)
	}
	for _, name := range []string{"1", "sys", "kcore", "sysrq-trigger"} {
		if strings.Contains("\n"+out, "\n"+name+"\n") {
			t.Errorf("/proc/%s is there: %q", name, out)
		}
	}
	_, pid, _ := strings.Cut(strings.TrimSpace(out), "self ")
	if pid == "" || !strings.Contains("\n"+out, "\n"+pid+"\n") {
		t.Errorf("process %q does not see itself: %q", pid, out)
	}
	c = busybox(t, `: >/proc/self/oom_score_adj && echo changed >/proc/self/../new`)
	c.Proc = "/proc"
	if out, err := output(t, c); err == nil {
		t.Errorf("a file was made in /proc: %q", out)
	}
}

// TestDevice: a node is a device only where it is let in as one.
func TestDevice(t *testing.T) {
	for _, device := range []bool{false, true} {
		c := busybox(t, "/bin/busybox head -c 5 /dev/zero | /bin/busybox wc -c")
		c.Binds = append(c.Binds, Bind{Source: "/dev/zero", Target: "/dev/zero", Device: device})
		out, _ := output(t, c)
		if (strings.TrimSpace(out) == "5") != device {
			t.Errorf("let in as a device: %v; read %q", device, out)
		}
	}
}

// TestLinks: a program finds its /proc where it looks for it, and one file more.
func TestLinks(t *testing.T) {
	c := busybox(t, "/bin/busybox cat /proc/self/comm /proc/sys/fs/file-max; /bin/busybox ls /proc/sys/fs")
	c.Proc, c.Links = "/processes", map[string]string{"/proc/self": "/processes/self"}
	c.Binds = append(c.Binds, Bind{Source: "/proc/sys/fs/file-max", Target: "/proc/sys/fs/file-max", ReadOnly: true})
	out, err := output(t, c)
	if f := strings.Fields(out); err != nil || len(f) != 3 || f[0] != "busybox" || f[2] != "file-max" {
		t.Errorf("%q, %v", out, err)
	}
}
