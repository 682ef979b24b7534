package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/test/terminal"
)

// userns gives the container a user namespace with two ranges of users.
func userns(s *specs.Spec) {
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 100}, {ContainerID: 1000, HostID: 5000, Size: 10}}
	s.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 200000, Size: 65536}}
}

var privileges = capabilities("CAP_CHOWN", "CAP_SETUID", "CAP_SETGID", "CAP_MKNOD", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_FOWNER")

func TestUserNamespace(t *testing.T) {
	h := newHost(t)
	text := `cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; echo $(cat /proc/self/setgroups) $(id -u):$(id -g)
stat -c '%n %u:%g' /mine /theirs /volume/mine /dev /dev/null /dev/shm /proc/1 /sys
echo x > /dev/null && touch /dev/shm/new && stat -c %u:%g /dev/shm/new && chown 1003:7 /mine && stat -c %u:%g /mine
chown 1 /theirs 2>&1; mknod /dev/mine c 1 5 2>&1; awk '$2 ~ "^/dev" && $4 ~ "id=" {print $2, $4}' /proc/mounts; head -c 1 /dev/zero | wc -c`
	volume := t.TempDir()
	writeFile(t, filepath.Join(volume, "mine"), "")
	dir := bundle(t, script(text), userns, privileges, mounts(bind(volume, "/volume")))
	mine, theirs := filepath.Join(dir, "rootfs/mine"), filepath.Join(dir, "rootfs/theirs")
	writeFile(t, mine, "")
	writeFile(t, theirs, "")
	for _, err := range []error{os.Chown(mine, 100000, 200000), os.Chown(filepath.Join(volume, "mine"), 5009, 200007)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r := h.run(0, dir)
	for _, want := range []string{" 0 100000 100\n 1000 5000 10\n 0 200000 65536\nallow 0:0\n",
		"/mine 0:0\n/theirs 65534:65534\n/volume/mine 1009:7\n/dev 0:0\n/dev/null 0:0\n/dev/shm 0:0\n/proc/1 0:0\n/sys 65534:65534\n0:0\n1003:7\n",
		"chown: /theirs: Operation not permitted\nmknod: /dev/mine: Operation not permitted\n",
		"/dev/pts rw,nosuid,noexec,relatime,gid=200005,mode=620", "\n1\n"} {
		contains(t, "output", r.stdout, want)
	}
	equal(t, "owner on the host", ownerOf(t, mine), "5003:200007")
	equal(t, "owner on the host of what was refused", ownerOf(t, theirs), "0:0")
}

func ownerOf(t *testing.T, file string) string {
	t.Helper()
	fi, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	st := fi.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d", st.Uid, st.Gid)
}

// A process that comes later is in the container's user namespace, too, with its own
// user, limits and terminal.
func TestExecInUserNamespace(t *testing.T) {
	h := newHost(t)
	id := h.start(userns, privileges, func(s *specs.Spec) {
		s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1 << 20, Hard: 1 << 20}}
	})
	equal(t, "user", h.must("exec", "--user", "1002:33", "--additional-gids", "7", id, "sh", "-c", "id -u; id -g; id -G; awk 'NR==2 {print $1, $2}' /proc/self/uid_map"),
		"1002\n33\n33 7\n1000 5000\n")
	equal(t, "namespace", h.must("exec", id, "readlink", "/proc/self/ns/user"), h.must("exec", id, "readlink", "/proc/1/ns/user"))
	equal(t, "limit", h.must("exec", id, "awk", "/open files/ {print $4, $5}", "/proc/1/limits"), "1048576 1048576\n")
	h.fails(255, []string{"process.user", "uid 500 is unmapped"}, "exec", "--user", "500", id, "true")
	h.fails(255, []string{"process.user", "gid 70000 is unmapped"}, "exec", "--user", "0:70000", id, "true")
}

func TestTerminalInUserNamespace(t *testing.T) {
	h := newHost(t)
	id := h.start(userns, privileges)
	term, tty := terminal.Open(t)
	c := h.cmd("exec", "--user", "1001", "--tty", id, "sh", "-c", "stat -c '%u:%g %a' $(tty); echo x > $(tty)")
	terminal.Attach(c, tty)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	equal(t, "exit code", exitCode(t, c.Wait()), 0)
	term.Expect(t, "1001:5 620\r\nx\r\n")
}

// What the kernel would refuse, or what has no meaning, is refused by its field.
func TestUserNamespaceIsRefused(t *testing.T) {
	h := newHost(t)
	for name, tc := range map[string]struct {
		want string
		edit edit
	}{
		"overlap": {"linux.uidMappings[1]: overlaps with [0]", func(s *specs.Spec) { s.Linux.UIDMappings[1].HostID = 100099 }},
		"size":    {"linux.gidMappings[0].size: is 0", func(s *specs.Spec) { s.Linux.GIDMappings[0].Size = 0 }},
		"none":    {"linux.gidMappings: is empty", func(s *specs.Spec) { s.Linux.GIDMappings = nil }},
		"no root": {"linux.uidMappings: maps no id to the container's root", func(s *specs.Spec) { s.Linux.UIDMappings = s.Linux.UIDMappings[1:] }},
		"user":    {"process.user: uid 999 is unmapped", func(s *specs.Spec) { s.Process.User.UID = 999 }},
		"group":   {"process.user: gid 65536 is unmapped", func(s *specs.Spec) { s.Process.User.AdditionalGids = []uint32{3, 65536} }},
		"device": {"linux.devices: /dev/x: uid 999 is unmapped", func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "c", Major: 1, Minor: 3, UID: ptr(uint32(999))}}
		}},
		"path": {"linux.namespaces[6].path", func(s *specs.Spec) { s.Linux.Namespaces[6].Path = "/proc/self/ns/user" }},
	} {
		t.Run(name, func(t *testing.T) {
			h.refused(1, []string{tc.want}, "create", bundle(t, userns, tc.edit))
		})
	}
}
