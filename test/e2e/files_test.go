package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func readonlyRoot(s *specs.Spec) { s.Root.Readonly = true }

func TestReadonlyRoot(t *testing.T) {
	h := newHost(t)
	dir := bundle(t, script("touch /file 2>&1; touch /tmp/file && echo written"), readonlyRoot,
		mounts(specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"}))
	r := h.run(0, dir)
	contains(t, "output", r.stdout, "Read-only file system", "written")
	if _, err := os.Stat(filepath.Join(dir, "rootfs/file")); err == nil {
		t.Error("the file is on the host")
	}
}

func TestMaskedAndReadonlyPaths(t *testing.T) {
	h := newHost(t)
	dir := bundle(t, script(`cat /etc/secret; ls /etc/hidden; cat /etc/plain
		(echo x > /etc/plain) 2>&1; (echo x > /proc/sys/kernel/hostname) 2>&1; (echo 1 > /proc/sys/vm/swappiness) 2>&1; :`),
		func(s *specs.Spec) {
			s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/etc/secret", "/etc/hidden", "/no/such/path")
			s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, "/etc/plain", "/no/such/path")
		})
	etc := filepath.Join(dir, "rootfs/etc")
	writeFile(t, filepath.Join(etc, "secret"), "secret\n")
	writeFile(t, filepath.Join(etc, "plain"), "plain\n")
	if err := os.Mkdir(filepath.Join(etc, "hidden"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(etc, "hidden/secret"), "secret\n")
	out := h.run(0, dir).stdout
	if strings.Contains(out, "secret") {
		t.Errorf("a masked path is visible: %q", out)
	}
	contains(t, "output", out, "plain\n")
	equal(t, "writes refused", strings.Count(out, "Read-only file system"), 3)
	equal(t, "file on the host", readFile(t, filepath.Join(etc, "plain")), "plain\n")
}

func TestMounts(t *testing.T) {
	h := newHost(t)
	source := t.TempDir()
	writeFile(t, filepath.Join(source, "file"), "from the host\n")
	for _, tc := range []struct {
		name, script, want string
		mount              specs.Mount
	}{
		{"tmpfs with a size", "df -k /mnt/t | tail -1 | awk '{print $2}'; dd if=/dev/zero of=/mnt/t/f bs=1024 count=2048 2>&1 | grep -o 'No space left'", "1024\nNo space left",
			specs.Mount{Destination: "/mnt/t", Type: "tmpfs", Source: "tmpfs", Options: []string{"size=1m", "nosuid"}}},
		{"options", "grep ' /mnt/t ' /proc/mounts | tr ', ' '\\n\\n' | grep -x -e nosuid -e nodev -e noexec | sort", "nodev\nnoexec\nnosuid",
			specs.Mount{Destination: "/mnt/t", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "noexec"}}},
		{"directory", "cat /mnt/d/file; echo new > /mnt/d/new", "from the host", bind(source, "/mnt/d")},
		{"directory, read-only", "cat /mnt/d/file; (echo x > /mnt/d/file) 2>&1 | grep -o 'Read-only file system'", "from the host\nRead-only file system", bind(source, "/mnt/d", "ro")},
		{"file", "cat /mnt/file", "from the host", bind(filepath.Join(source, "file"), "/mnt/file")},
		{"file, read-only", "cat /etc/passwd; (echo x > /etc/passwd) 2>&1 | grep -o 'Read-only file system'", "from the host\nRead-only file system",
			bind(filepath.Join(source, "file"), "/etc/passwd", "ro")},
		{"link in the target", "readlink /link; cat /etc/file", "/etc\nfrom the host", bind(filepath.Join(source, "file"), "/link/file")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := bundle(t, script(tc.script), mounts(tc.mount))
			if err := os.Symlink("/etc", filepath.Join(dir, "rootfs/link")); err != nil {
				t.Fatal(err)
			}
			r := h.run(0, dir)
			equal(t, "output", strings.TrimSpace(r.stdout+r.stderr), tc.want)
			equal(t, "file on the host", readFile(t, filepath.Join(source, "file")), "from the host\n")
		})
	}
	equal(t, "file from the container", readFile(t, filepath.Join(source, "new")), "new\n")
}

func TestDefaultDevices(t *testing.T) {
	h := newHost(t)
	got := h.runScript(`for d in null zero full random urandom tty; do test -c /dev/$d || echo no $d; done
		for l in fd stdin stdout stderr ptmx; do test -L /dev/$l || echo no link $l; done
		ls /proc/self/fd > /dev/null; head -c 3 /dev/zero | wc -c; (echo x > /dev/full) 2>&1 | grep -o 'No space left'; ls /dev/shm /dev/mqueue /dev/pts`)
	contains(t, "output", got, "3\nNo space left\n")
	if strings.Contains(got, "no ") {
		t.Errorf("devices are missing: %q", got)
	}
}

// What a container has written is on the host when its end is reported.
func TestFilesAreOnTheHost(t *testing.T) {
	h := newHost(t)
	dir := bundle(t, script(`mkdir /data && cd /data && echo content > file && chown 1234:5678 file && chmod 640 file
		ln -s file symlink && ln file hardlink && chmod 2755 . && dd if=/dev/urandom of=big bs=65536 count=64 2>/dev/null
		sha256sum big; truncate -s 1M sparse; mv file renamed; echo gone > gone; rm gone`), capabilities("CAP_CHOWN", "CAP_FOWNER", "CAP_FSETID", "CAP_DAC_OVERRIDE"))
	sum := strings.Fields(h.run(0, dir).stdout)[0]
	data := filepath.Join(dir, "rootfs/data")
	stat := func(name string) (st unix.Stat_t) {
		t.Helper()
		if err := unix.Lstat(filepath.Join(data, name), &st); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return st
	}
	equal(t, "content", readFile(t, filepath.Join(data, "renamed")), "content\n")
	st := stat("renamed")
	equal(t, "owner", fmt.Sprintf("%d:%d", st.Uid, st.Gid), "1234:5678")
	equal(t, "mode", st.Mode, unix.S_IFREG|0o640)
	equal(t, "links", st.Nlink, 2)
	equal(t, "inode of the hard link", stat("hardlink").Ino, st.Ino)
	equal(t, "mode of the directory", stat(".").Mode, unix.S_IFDIR|0o2755)
	equal(t, "size", stat("sparse").Size, 1<<20)
	link, err := os.Readlink(filepath.Join(data, "symlink"))
	if err != nil {
		t.Error(err)
	}
	equal(t, "symbolic link", link, "file")
	if _, err := os.Lstat(filepath.Join(data, "gone")); err == nil {
		t.Error("a file that was removed is there")
	}
	equal(t, "checksum", sha256File(t, filepath.Join(data, "big")), sum)
}

// A named pipe is one on the host. QEMU's share makes none (docs/machines.md); there
// the container is told, and has them on a tmpfs.
func TestNamedPipes(t *testing.T) {
	h := newHost(t)
	dir := bundle(t, script("mkfifo /pipe 2>&1; mkfifo /dev/shm/pipe && echo tmpfs"))
	got := h.run(0, dir).stdout
	if chosen == "qemu" {
		contains(t, "output", got, "mkfifo: /pipe: No such device or address\n")
	} else if fi, err := os.Lstat(filepath.Join(dir, "rootfs/pipe")); err != nil || fi.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("%v, %v", fi, err)
	}
	contains(t, "output", got, "tmpfs\n")
}

// The container sees what the host changes while it runs.
func TestFilesOfTheHostAreSeen(t *testing.T) {
	h := newHost(t)
	source := t.TempDir()
	id := h.start(mounts(bind(source, "/mnt")))
	writeFile(t, filepath.Join(source, "late"), "late\n")
	equal(t, "file", h.must("exec", id, "cat", "/mnt/late"), "late\n")
	h.must("exec", id, "sh", "-c", "echo answer > /mnt/answer")
	h.must("kill", id, "KILL")
	equal(t, "file from the container", readFile(t, filepath.Join(source, "answer")), "answer\n")
}

// A link in the root filesystem leads to the container's files, not the host's.
func TestLinksDoNotLeadOut(t *testing.T) {
	h := newHost(t)
	outside := t.TempDir()
	writeFile(t, filepath.Join(outside, "secret"), "secret")
	dir := bundle(t, script("cat /out/secret /../../../.."+outside+"/secret 2>/dev/null; echo x > /out/new; :"),
		mounts(bind(t.TempDir(), "/out/mnt")))
	if err := os.Symlink(outside, filepath.Join(dir, "rootfs/out")); err != nil {
		t.Fatal(err)
	}
	equal(t, "output", h.kata("run", "--bundle", dir, h.newID()).stdout, "")
	entries, err := os.ReadDir(outside)
	if err != nil || len(entries) != 1 {
		t.Errorf("the container reached a directory of the host: %v, %v", entries, err)
	}
}
