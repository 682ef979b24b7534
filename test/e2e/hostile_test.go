package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// hostileBundle is a bundle whose image has links in it.
func hostileBundle(t *testing.T, links map[string]string, edits ...edit) string {
	t.Helper()
	dir := bundle(t, edits...)
	for name, target := range links {
		name = filepath.Join(dir, "rootfs", name)
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// untouched makes a directory of the host that a container must not reach, and checks
// it at the end.
func untouched(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "secret"), "secret of the host\n")
	t.Cleanup(func() {
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 || readFile(t, filepath.Join(dir, "secret")) != "secret of the host\n" {
			t.Errorf("a container reached a directory of the host: %v, %v", entries, err)
		}
	})
	return dir
}

func withoutNamespace(kind specs.LinuxNamespaceType) edit {
	return func(s *specs.Spec) {
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
	}
}

// Mount destinations that are links end inside the container, or nowhere.
func TestHostileMountDestinations(t *testing.T) {
	h := newHost(t)
	source := t.TempDir()
	for name, target := range map[string]string{
		"absolute": untouched(t), "up": "../../../../../../../.." + untouched(t), "guest": "/run/kata", "agent": "/../../kata-agent",
		"proc root": "/proc/self/root", "proc descriptor": "/proc/self/fd/3", "first process": "/proc/1/root",
		"proc": "/proc", "proc sys": "/proc/sys/kernel", "sys": "/sys", "loop": "link",
	} {
		t.Run(name, func(t *testing.T) {
			places := []string{"/link"}
			if strings.Contains(target, "..") || target == "/proc" {
				places = append(places, "/link/below")
			}
			for _, at := range places {
				dir := hostileBundle(t, map[string]string{"link": target}, script("cat /link/secret /proc/sys/kernel/ostype"), mounts(bind(source, at, "rw")))
				r := h.kata("run", "--bundle", dir, h.newID())
				if strings.Contains(r.stdout, "secret") || r.code == 0 && r.stdout != "Linux\n" {
					t.Errorf("the container sees what it must not; %s", r)
				}
				if strings.HasPrefix(target, "/proc") || target == "/sys" && at == "/link" || target == "link" {
					if r.code == 0 || !strings.Contains(r.stderr, "mounts[7]") {
						t.Errorf("want a refusal that names mounts[7]; %s", r)
					}
				}
			}
		})
	}
	if entries, err := os.ReadDir(source); err != nil || len(entries) > 0 {
		t.Errorf("the volume has %v, %v", entries, err)
	}
}

func TestProcAndSysAreOrdinaryDirectories(t *testing.T) {
	h := newHost(t)
	for _, name := range []string{"proc", "sys"} {
		h.refused(1, []string{"/" + name, "ordinary directory"}, "create", hostileBundle(t, map[string]string{name: "/tmp"}))
	}
}

// Masks and read-only paths that are links hide what they lead to in the container,
// and the image does not choose what they hide it with.
func TestHostilePaths(t *testing.T) {
	h := newHost(t)
	outside := untouched(t)
	dir := hostileBundle(t, map[string]string{"masked": "/etc/secret", "dir": "../etc/hidden", "out": outside, "ro": "/etc/passwd", "dev/null": "/etc/passwd", "self": "/proc/self/fd"},
		script(`cat /etc/secret; ls /etc/hidden; (echo x > /etc/passwd) 2>&1; stat -c %t:%T /etc/secret; cat /proc/keys; cat /dev/null | head -1`), func(s *specs.Spec) {
			s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return strings.HasPrefix(m.Destination, "/dev") })
			s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/masked", "/dir", "/out", "/out/secret", "/self", "/self/0")
			s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, "/ro", "/out", "/self/1")
		})
	etc := filepath.Join(dir, "rootfs/etc")
	writeFile(t, filepath.Join(etc, "secret"), "secret\n")
	if err := os.Mkdir(filepath.Join(etc, "hidden"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(etc, "hidden/secret"), "secret\n")
	out := h.run(0, dir).stdout
	equal(t, "output", out, "sh: can't create /etc/passwd: Read-only file system\n1:3\nroot:x:0:0:root:/:/bin/sh\n")
}

// Terminals and nodes appear in the container's /dev, whatever that is.
func TestHostileDev(t *testing.T) {
	h := newHost(t)
	for name, links := range map[string]map[string]string{
		"console over a parameter": {"dev/console": "/proc/sys/kernel/core_pattern"}, "console outside": {"dev/console": untouched(t) + "/secret"},
		"console over a file": {"dev/console": "/etc/passwd"},
	} {
		t.Run(name, func(t *testing.T) {
			socket, _ := consoleSocket(t)
			id := h.newID()
			dir := hostileBundle(t, links, terminalOn, func(s *specs.Spec) {
				s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/dev" })
			})
			if err := os.MkdirAll(filepath.Join(dir, "rootfs/dev/pts"), 0o755); err != nil {
				t.Fatal(err)
			}
			r := h.kata("create", "--console-socket", socket, "--bundle", dir, id)
			if r.code != 1 || !strings.Contains(r.stderr, "/dev/console: too many levels of symbolic links") {
				t.Errorf("want a refusal; %s", r)
			}
		})
	}
	for name, links := range map[string]map[string]string{
		"dev outside": {"dev": untouched(t)}, "dev elsewhere": {"dev": "/etc"}, "dev in proc": {"dev": "/proc"}, "dev of the guest": {"dev": "/proc/1/cwd/dev"},
	} {
		t.Run(name, func(t *testing.T) {
			r := h.kata("run", "--bundle", hostileBundle(t, links, script("ls /dev/secret /dev/hostchan /dev/kmsg 2>/dev/null; echo x > /dev/null")), h.newID())
			if r.stdout != "" {
				t.Errorf("the container sees what it must not; %s", r)
			}
		})
	}
	// /dev/pts is covered before it is used.
	equal(t, "files", h.run(0, hostileBundle(t, map[string]string{"dev/pts": "/etc"}, script("cat /etc/passwd | head -1; ls /dev/pts"))).stdout, "root:x:0:0:root:/:/bin/sh\nptmx\n")
}

// A null device that is none anymore is not used for anybody's standard I/O.
func TestHostileNullDevice(t *testing.T) {
	h := newHost(t)
	id := h.start(capabilities("CAP_DAC_OVERRIDE"))
	h.must("exec", id, "sh", "-c", "rm /dev/null && mkfifo /dev/null && echo victim > /tmp/victim")
	h.must("exec", "--detach", id, "sh", "-c", "echo x; sleep 1000002")
	h.must("exec", id, "sh", "-c", "rm /dev/null && ln -s /tmp/victim /dev/null")
	h.must("exec", "--detach", id, "sh", "-c", "echo x; sleep 1000003")
	equal(t, "file", h.must("exec", id, "cat", "/tmp/victim"), "victim\n")
}

// CVE-2024-21626: the working directory is not one that somebody else has open.
func TestHostileCwd(t *testing.T) {
	h := newHost(t)
	cwd := func(dir string) edit { return func(s *specs.Spec) { s.Process.Cwd = dir } }
	names := []string{"/proc/1/cwd", "/proc/1/root", "/proc/thread-self/root"}
	for fd := range 10 {
		names = append(names, "/proc/self/fd/"+strconv.Itoa(fd+3))
	}
	h.refused(1, []string{"process.cwd"}, "create", bundle(t, cwd("/proc/self/fd/7")))
	h.refused(1, []string{"process.cwd"}, "create", bundle(t, cwd("/proc/1/root"), withoutNamespace(specs.PIDNamespace)))
	h.refused(1, []string{"process.cwd"}, "create", hostileBundle(t, map[string]string{"link": "/proc/self/fd/7/new"}, cwd("/link"), withoutNamespace(specs.PIDNamespace)))
	own := h.start()
	guests := h.start(withoutNamespace(specs.PIDNamespace))
	for _, id := range []string{own, guests} {
		for _, name := range names {
			r := h.kata("exec", "--cwd", name, id, "ls")
			if r.code == 0 || r.stdout != "" {
				t.Errorf("the container was left; %s", r)
			}
		}
		equal(t, "descriptors", h.must("exec", id, "sh", "-c", "ls /proc/self/fd"), "0\n1\n2\n3\n")
	}
}

// CVE-2019-5736: what runs before a container's command is no file that the container
// can write, and cannot be had as its command.
func TestHostileExe(t *testing.T) {
	h := newHost(t)
	agent := sha256File(t, agentFile())
	h.refused(127, []string{"/proc/self/exe"}, "run", bundle(t, args("/proc/self/exe")))
	all := capabilities("CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE", "CAP_SYS_BOOT", "CAP_MKNOD", "CAP_CHOWN", "CAP_FOWNER")
	id := h.start(all)
	h.must("exec", id, "sh", "-c", "printf '#!/proc/self/exe\\n' > /evil && chmod 755 /evil")
	for range 3 {
		h.kata("exec", id, "/evil") // whatever it does, it does to itself
	}
	h.must("exec", "--detach", id, "sh", "-c", `while :; do for p in /proc/[0-9]*; do { echo x > $p/exe; echo x > $p/mem; } 2>/dev/null && echo $p >> /tmp/won; done; done`)
	for range 5 {
		equal(t, "output", h.must("exec", id, "echo", "well"), "well\n")
	}
	equal(t, "overwritten", h.must("exec", id, "sh", "-c", "grep -v self /tmp/won 2>/dev/null | wc -l"), "0\n")
	equal(t, "agent", sha256File(t, agentFile()), agent)
	equal(t, "another machine", h.runScript("echo well"), "well")
}

// Names of parameters and limits are names, not paths.
func TestHostileKeys(t *testing.T) {
	h := newHost(t)
	for _, name := range []string{"../../etc/passwd", "net/../../../etc/passwd", "net..core", "/etc/passwd", "kernel.../x"} {
		h.refused(1, []string{"linux.sysctl"}, "create", bundle(t, func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{name: "x"} }))
	}
	for _, name := range []string{"..", "../x.y", "memory.max/../../cgroup.procs", "."} {
		h.refused(1, []string{"linux.resources"}, "create", bundle(t, func(s *specs.Spec) { s.Linux.Resources.Unified = map[string]string{name: "1"} }))
	}
	// A parameter is one of the kernel's, not a file of the image.
	dir := bundle(t, func(s *specs.Spec) {
		s.Linux.Sysctl = map[string]string{"net.core.somaxconn": "100"}
		s.Mounts, s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil, nil
	})
	fake := filepath.Join(dir, "rootfs/proc/sys/net/core")
	if err := os.MkdirAll(fake, 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(fake, "somaxconn"), "")
	h.refused(1, []string{"linux.sysctl", "proc file system"}, "create", dir)
	equal(t, "file of the image", readFile(t, filepath.Join(fake, "somaxconn")), "")
	// The host's cgroup stays below the root of the hierarchies.
	id := h.start(func(s *specs.Spec) { s.Linux.CgroupsPath = "/../../../../" + h.prefix + "cgroup" })
	h.wantStatus(id, "running")
}

// Device nodes of an image are no devices.
func TestHostileDeviceNodes(t *testing.T) {
	h := newHost(t)
	dir := bundle(t, script("head -c 1 /node /tmp/node /copy/node | wc -c"), capabilities("CAP_DAC_OVERRIDE", "CAP_MKNOD"), mounts(tmpfs("/copy", "tmpcopyup")))
	if err := os.Mkdir(filepath.Join(dir, "rootfs/copy"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"node", "tmp/node", "copy/node"} {
		if err := unix.Mknod(filepath.Join(dir, "rootfs", name), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))); err != nil {
			t.Fatal(err)
		}
	}
	r := h.run(0, dir)
	equal(t, "bytes", r.stdout, "0\n")
	equal(t, "refusals", strings.Count(r.stderr, "Permission denied"), 2)
}
