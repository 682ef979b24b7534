package posix

import (
	"fmt"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// byShare are the differences of what emulated machines get from the host, by the share
// type; docs/files.md explains each.
var byShare = map[string][]string{
	"9p": { // as QEMU 7.2 has it
		"acl: a directory's default is inherited, in place of the mask", "acl: an entry for a user counts", "fallocate: size, keep, punch",
		"fifo: between two processes", "inotify: what the container does itself, once", "link: both names are open at once",
		"lseek: SEEK_DATA and SEEK_HOLE", "mknod: a regular file and a socket", "mknod: a whiteout, as overlayfs makes them", "mknod: devices",
		"open: O_TMPFILE has no name until it is linked", "open: O_TMPFILE is linked through /proc as well",
		"open: a deleted file, opened for reading, reopened for writing", "open: reopen a deleted file through /proc",
		"ownership: what a user makes is the user's", "rename: over a file, which open descriptors keep", "renameat2: RENAME_NOREPLACE and RENAME_EXCHANGE",
		"statx: birth time and mount", "unix socket: bound here, connected by another process",
		"unix socket: the owner is who bound it, and connecting needs write", "unix socket: without a listener it is refused; rename keeps it",
		"unlink: a deleted file lives while it is open", "utimensat: before 1970 and after 2038", "utimensat: nanoseconds, now, omit",
		"xattr: security.capability, which a write takes away", "xattr: trusted.*", "xattr: user.*",
	},
	"virtiofs": {
		"mknod: devices",   // the jail may not make any
		"xattr: trusted.*", // the jail is in a user namespace
		// A file system mounted below another by virtiofs has no ACLs in Linux.
		"acl: a directory's default is inherited, in place of the mask", "acl: an entry for a user counts",
		// QEMU's daemon does not have these.
		"open: O_TMPFILE has no name until it is linked", "open: O_TMPFILE is linked through /proc as well",
		"ownership: what a user makes is the user's", "statx: birth time and mount",
	},
}

// TestShares: what TestContainer does, in emulated machines.
func TestShares(t *testing.T) {
	for share, want := range byShare {
		t.Run(share, func(t *testing.T) {
			dir := bundle(t, []string{"/posix", "/data", "/volume"},
				specs.Mount{Destination: "/volume", Type: "bind", Source: directory(t), Options: []string{"rbind"}})
			settings := fmt.Sprintf("hypervisor = \"qemu\"\n[qemu]\naccelerator = \"tcg\"\ntemplate = false\nshare = %q\n", share)
			out, err := commandWith(t, dir, settings).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			got := failures(t, string(out), "/data", "/volume")
			compare(t, "root file system", got["/data"], want)
			compare(t, "volume", got["/volume"], want)
		})
	}
}
