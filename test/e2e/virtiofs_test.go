package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const shareByVirtiofs = "share = \"virtiofs\"\n"

// virtiofs has a daemon serve the files of h's machines.
func (h *host) virtiofs() {
	h.t.Helper()
	h.flags = append(h.flags, "--hypervisor", "qemu")
	h.withConfig("hypervisor = \"qemu\"\n" + emulated() + shareByVirtiofs)
}

// daemon is the process that serves the files of a container's machine.
func (h *host) daemon(id string) int {
	h.t.Helper()
	all, proxy := processes(), h.state(id).Kata.PIDs["proxy"]
	for pid, p := range all {
		if strings.HasPrefix(p.command, "/virtiofsd ") && all[p.ppid].ppid == proxy {
			return pid
		}
	}
	h.t.Fatal("no virtiofsd runs")
	return 0
}

// TestVirtiofs: what is made on the share is on the host, as it was made; also what is
// let in later.
func TestVirtiofs(t *testing.T) {
	h := newHost(t)
	h.virtiofs()
	volume, closed := t.TempDir(), t.TempDir()
	writeFile(t, filepath.Join(closed, "in"), "from the host\n")
	dir := bundle(t, mounts(bind(volume, "/volume"), bind(closed, "/closed", "ro")), capabilities("CAP_CHOWN", "CAP_FOWNER", "CAP_FSETID", "CAP_MKNOD", "CAP_SETFCAP"),
		script(`set -e; cat /closed/in; (echo x >/closed/new) 2>/dev/null && exit 9
			for d in /root /volume; do echo text >$d/file; chown 12:34 $d/file; chmod 6751 $d/file; mkfifo $d/fifo; ln -s file $d/link; done
			(echo through >/volume/fifo &); cat /volume/fifo; exec sleep 1000`))
	if err := os.MkdirAll(filepath.Join(dir, "rootfs", "root"), 0o755); err != nil {
		t.Fatal(err)
	}
	id := h.create(dir)
	h.must("start", id)
	eventually(t, "the container has written", func() bool {
		_, err := os.Lstat(filepath.Join(volume, "link"))
		return err == nil
	})
	for _, d := range []string{volume, filepath.Join(dir, "rootfs", "root")} {
		var st syscall.Stat_t
		if err := syscall.Stat(filepath.Join(d, "file"), &st); err != nil || st.Uid != 12 || st.Gid != 34 || st.Mode != syscall.S_IFREG|0o6751 {
			t.Errorf("%+v, %v", st, err)
		}
		if fi, err := os.Lstat(filepath.Join(d, "fifo")); err != nil || fi.Mode().Type() != os.ModeNamedPipe {
			t.Errorf("%v, %v", fi, err)
		}
	}
	daemon := h.daemon(id)
	open := func() int {
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", daemon))
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	before := open()
	later := t.TempDir()
	writeFile(t, filepath.Join(later, "in"), "later\n")
	for range 2 {
		second := h.start(mounts(bind(later, "/later"), bind(volume, "/both")), sharing(h.state(id).PID, allShared...))
		equal(t, "file of the second", h.must("exec", second, "sh", "-c", "cat /later/in; echo seen >/both/seen; touch /later/new"), "later\n")
		equal(t, "in the first", h.must("exec", id, "cat", "/volume/seen"), "seen\n")
		h.must("delete", "--force", second)
		eventually(t, "the daemon closes the second's files", func() bool { return open() <= before })
		if err := os.Remove(filepath.Join(later, "new")); err != nil {
			t.Error(err)
		}
	}
	h.must("delete", "--force", id)
	h.wantNothing()
}

// TestVirtiofsJails: the daemon has the files and a jail of its own; QEMU has neither
// files nor capabilities. Both are the sandbox's.
func TestVirtiofsJails(t *testing.T) {
	h := newHost(t)
	h.virtiofs()
	id := h.start()
	daemon, qemu := h.daemon(id), monitor(h.state(id))
	proc := func(pid int, name string) string { return readFile(t, fmt.Sprintf("/proc/%d/%s", pid, name)) }
	for _, kind := range []string{"mnt", "pid", "user", "net", "ipc", "uts"} {
		var ns []string
		for _, pid := range []int{daemon, qemu, os.Getpid()} {
			name, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
			if err != nil {
				t.Fatal(err)
			}
			ns = append(ns, name)
		}
		if ns[0] == ns[1] || ns[0] == ns[2] || ns[1] == ns[2] {
			t.Errorf("namespaces of the daemon, QEMU and the host: %q", ns)
		}
	}
	contains(t, "status of QEMU", proc(qemu, "status"), "CapEff:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n")
	// CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SETGID, SETUID, SETFCAP
	contains(t, "status of the daemon", proc(daemon, "status"), "CapEff:\t00000000800000db\n", "CapBnd:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n")
	contains(t, "mounts of the daemon", proc(daemon, "mountinfo"), "/rootfs")
	if text := proc(qemu, "mountinfo"); strings.Contains(text, "rootfs") {
		t.Errorf("QEMU has files of the container: %s", text)
	}
	for _, dir := range cgroupsWith(id) {
		procs := readFile(t, filepath.Join(dir, "cgroup.procs"))
		for _, pid := range []int{daemon, qemu} {
			if !strings.Contains("\n"+procs, "\n"+strconv.Itoa(pid)+"\n") {
				t.Errorf("process %d is not in the cgroup %s", pid, dir)
			}
		}
	}
}

// TestVirtiofsdKilled: the sandbox ends with its daemon, and says so.
func TestVirtiofsdKilled(t *testing.T) {
	h := newHost(t)
	h.virtiofs()
	id, end := h.foreground()
	kill(t, h.daemon(id))
	h.lost(end(), "virtiofsd ended: killed by signal 9")
	// The first process of its jail as well.
	id, end = h.foreground()
	kill(t, processes()[h.daemon(id)].ppid)
	h.lost(end(), "virtiofsd ended: killed by signal 9")
}

// TestVirtiofsdStopped: what needs a file waits; the sandbox is deleted in time.
func TestVirtiofsdStopped(t *testing.T) {
	h := newHost(t)
	h.virtiofs()
	id := h.start()
	stop(t, h.daemon(id))
	h.wantStatus(id, "running")
	h.must("delete", "--force", id)
	h.wantNothing()
}

// TestVirtiofsPool: machines that wait have their daemons, and bring them along.
func TestVirtiofsPool(t *testing.T) {
	h := newHost(t)
	end := h.pooled(1, shareByVirtiofs)
	h.must("delete", "--force", h.start())
	h.eventuallyReady(1)
	waiting := descendants()
	volume := t.TempDir()
	id := h.start(mounts(bind(volume, "/volume")))
	daemon := h.daemon(id)
	if _, there := waiting[daemon]; !there {
		t.Errorf("the daemon %d is not one of those that waited: %v", daemon, waiting)
	}
	h.must("exec", id, "touch", "/volume/new")
	if _, err := os.Stat(filepath.Join(volume, "new")); err != nil {
		t.Error(err)
	}
	for _, dir := range cgroupsWith(id) {
		contains(t, dir, "\n"+readFile(t, filepath.Join(dir, "cgroup.procs")), "\n"+strconv.Itoa(daemon)+"\n")
	}
	h.must("delete", "--force", id)
	end()
	h.wantNothing()
}

// TestVirtiofsTemplates: what is saved before is what containers start from. It is none for
// machines without a daemon.
func TestVirtiofsTemplates(t *testing.T) {
	h := newHost(t)
	h.flags = append(h.flags, "--hypervisor", "qemu")
	settings := fmt.Sprintf("hypervisor = \"qemu\"\n[qemu]\naccelerator = \"tcg\"\ntemplate_dir = %q\n", filepath.Join(t.TempDir(), "machines"))
	h.withConfig(settings + shareByVirtiofs)
	r := h.template("create", "--memory", "100m")
	if ids := strings.Fields(r.stdout); r.code != 0 || len(ids) != 2 {
		t.Fatalf("want two ids; %s", r)
	}
	limited := resources(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: new(int64(100 << 20))}})
	if r := h.run(3, bundle(t, script("exit 3"), limited)); r.stderr != "" {
		t.Errorf("want nothing on stderr; %s", r)
	}
	saved := h.templates()
	if len(saved) != 2 || !strings.HasSuffix(saved[0].Name, "shares by virtiofs") {
		t.Errorf("want the two templates and no other: %+v", saved)
	}
	h.withConfig(settings)
	h.run(3, bundle(t, script("exit 3"), limited))
	if now := h.templates(); len(now) != 3 {
		t.Errorf("want one more for a machine without a daemon: %+v", now)
	}
}
