package container

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// A process that is cloned inside another's user namespace is there, is the agent's
// child, and its new namespaces belong to that user namespace.
func TestCloneInside(t *testing.T) {
	other := launch(t, spec("/bin/true"), "/bin/true", unix.CLONE_NEWUSER)
	all := []api.IDMapping{{Size: 1000}}
	if err := writeMappings(other.pid, all, all); err != nil {
		t.Fatal(err)
	}
	user, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/user", other.pid))
	if err != nil {
		t.Fatal(err)
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	l := launched{out: os.NewFile(uintptr(pipe[0]), "output")}
	defer l.out.Close()
	p := spec("/bin/sh", "-c", "readlink /proc/self/ns/user; echo $$; hostname inside && hostname; exit 7")
	p.Capabilities.Effective, p.Capabilities.Permitted, p.Capabilities.Bounding = 1<<unix.CAP_SYS_ADMIN, 1<<unix.CAP_SYS_ADMIN, 1<<unix.CAP_SYS_ADMIN
	l.process = &process{spec: p, exited: make(chan struct{}), stdio: &stdio{child: []int{devNull(t), pipe[1], devNull(t)}}}
	if l.exit, err = l.cloneInside(reaper(), other.pidfd, unix.CLONE_NEWUTS|unix.CLONE_NEWPID, -1); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(l.pidfd)
	l.script.addProcess(p, &fence{}, "/bin/sh", l.stdio.child)
	out, status := l.result(t)
	if want := user + "\n1\ninside\n"; status != 7 || out != want {
		t.Errorf("status %d, output %q, want %q", status, out, want)
	}
	if _, status := other.result(t); status != 0 {
		t.Errorf("the other ended with %d", status)
	}
	gone := &process{}
	if _, err := gone.cloneInside(reaper(), devNull(t), 0, -1); err == nil {
		t.Error("cloned inside of what is no process")
	}
}
