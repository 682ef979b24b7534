package main

import (
	"bytes"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func owner(path string) [2]uint32 {
	st := stat(path)
	return [2]uint32{st.Uid, st.Gid}
}

func init() {
	register(
		check{"chmod: all twelve bits", func(d string) {
			f := put(in(d, "f"), "")
			for _, mode := range []uint32{0, 0o7777, 0o1644, 0o2755, 0o4755, 0o600} {
				ok(unix.Chmod(f, mode))
				equal("mode", stat(f).Mode&0o7777, mode)
			}
			is(unix.Chmod(in(d, "none"), 0o644), unix.ENOENT)
			is(unix.Chmod(in(f, "x"), 0o644), unix.ENOTDIR)
		}},
		check{"chmod: only the owner; others' set-group-id is dropped", func(d string) {
			f := put(in(d, "f"), "")
			as(alice, func() { is(unix.Chmod(f, 0o600), unix.EPERM) })
			ok(unix.Chown(f, alice.uid, 3000))
			as(alice, func() { ok(unix.Chmod(f, 0o2755)) })
			equal("mode", stat(f).Mode&0o7777, 0o755)
		}},
		check{"chown: root may, a user may give to a group of his own", func(d string) {
			f := put(in(d, "f"), "")
			ok(unix.Chown(f, 1234, 5678))
			equal("owner", owner(f), [2]uint32{1234, 5678})
			ok(unix.Chown(f, -1, 1))
			equal("owner", owner(f), [2]uint32{1234, 1})
			ok(unix.Chown(f, alice.uid, alice.gid))
			as(alice, func() {
				is(unix.Chown(f, bob.uid, -1), unix.EPERM)
				is(unix.Chown(f, -1, bob.gid), unix.EPERM)
				ok(unix.Chown(f, -1, 2000))
			})
			equal("owner", owner(f), [2]uint32{1000, 2000})
		}},
		check{"lchown: the link, not its target", func(d string) {
			f := put(in(d, "f"), "")
			ok(os.Symlink("f", in(d, "l")))
			ok(os.Symlink("nowhere", in(d, "m")))
			ok(unix.Lchown(in(d, "l"), 5, 6))
			ok(unix.Lchown(in(d, "m"), 5, 6))
			equal("owner of the link", owner(in(d, "l")), [2]uint32{5, 6})
			equal("owner of the dangling link", owner(in(d, "m")), [2]uint32{5, 6})
			equal("owner of the target", owner(f), [2]uint32{0, 0})
		}},
		check{"chown and write clear set-id bits", func(d string) {
			f := put(in(d, "f"), "text")
			ok(unix.Chmod(f, 0o6755))
			ok(unix.Chown(f, alice.uid, alice.gid))
			equal("mode after chown", stat(f).Mode&0o7777, 0o755)
			ok(unix.Chmod(f, 0o6777))
			as(bob, func() {
				fd := open(f, unix.O_WRONLY, 0)
				_, err := unix.Write(fd, []byte("x"))
				ok(err)
				shut(fd)
			})
			equal("mode after write", stat(f).Mode&0o7777, 0o777)
			ok(unix.Chmod(f, 0o6777))
			as(bob, func() { ok(unix.Truncate(f, 0)) })
			equal("mode after truncate", stat(f).Mode&0o7777, 0o777)
		}},
		check{"ownership: what a user makes is the user's", func(d string) {
			as(alice, func() {
				put(in(d, "f"), "")
				ok(unix.Mkdir(in(d, "s"), 0o755))
				ok(os.Symlink("f", in(d, "l")))
				ok(unix.Mkfifo(in(d, "p"), 0o600))
				fd := open(d, unix.O_TMPFILE|unix.O_WRONLY, 0o600)
				equal("owner of a nameless file", fstat(fd).Uid, 1000)
				shut(fd)
			})
			for _, n := range []string{"f", "s", "l", "p"} {
				equal("owner of "+n, owner(in(d, n)), [2]uint32{1000, 1000})
			}
		}},
		check{"ownership: a set-group-id directory hands its group down", func(d string) {
			ok(unix.Chown(d, 0, 2000))
			ok(unix.Chmod(d, 0o2777))
			as(bob, func() {
				put(in(d, "f"), "")
				ok(unix.Mkdir(in(d, "s"), 0o755))
			})
			equal("file", owner(in(d, "f")), [2]uint32{1001, 2000})
			equal("directory", owner(in(d, "s")), [2]uint32{1001, 2000})
			equal("mode", stat(in(d, "s")).Mode&0o7777, 0o2755)
			put(in(d, "g"), "")
			equal("root's file", owner(in(d, "g")), [2]uint32{0, 2000})
		}},
		check{"permissions: user, group, supplementary group, others", func(d string) {
			f := put(in(d, "f"), "")
			ok(unix.Chown(f, bob.uid, 2000))
			ok(unix.Chmod(f, 0o640))
			as(bob, func() { ok(openErr(f, unix.O_RDWR, 0)) })
			as(alice, func() { // in the group
				ok(openErr(f, unix.O_RDONLY, 0))
				is(openErr(f, unix.O_RDWR, 0), unix.EACCES)
				ok(unix.Faccessat(unix.AT_FDCWD, f, unix.R_OK, 0))
				is(unix.Faccessat(unix.AT_FDCWD, f, unix.W_OK, 0), unix.EACCES)
			})
			as(user{1002, 1002, nil}, func() { is(openErr(f, unix.O_RDONLY, 0), unix.EACCES) })
			ok(unix.Chmod(f, 0o604)) // the group is worse off than others
			as(alice, func() { is(openErr(f, unix.O_RDONLY, 0), unix.EACCES) })
		}},
		check{"permissions: search, write and list of directories", func(d string) {
			s := in(d, "s")
			ok(unix.Mkdir(s, 0o755))
			put(in(s, "f"), "")
			as(alice, func() {
				is(openErr(in(s, "g"), unix.O_CREAT|unix.O_WRONLY, 0o644), unix.EACCES)
				is(unix.Unlink(in(s, "f")), unix.EACCES)
				is(unix.Rename(in(s, "f"), in(d, "f")), unix.EACCES)
			})
			ok(unix.Chmod(s, 0o744))
			as(alice, func() {
				is(openErr(in(s, "f"), unix.O_RDONLY, 0), unix.EACCES)
				ok(openErr(s, unix.O_RDONLY, 0))
			})
			ok(unix.Chmod(s, 0o711))
			as(alice, func() {
				ok(openErr(in(s, "f"), unix.O_RDONLY, 0))
				is(openErr(s, unix.O_RDONLY, 0), unix.EACCES)
			})
		}},
		check{"permissions: the sticky bit", func(d string) {
			ok(unix.Chmod(d, 0o1777))
			as(alice, func() { put(in(d, "f"), "") })
			as(bob, func() {
				is(unix.Unlink(in(d, "f")), unix.EPERM)
				is(unix.Rename(in(d, "f"), in(d, "g")), unix.EPERM)
			})
			as(alice, func() { ok(unix.Unlink(in(d, "f"))) })
		}},
		check{"permissions: root executes only what somebody may", func(d string) {
			f := put(in(d, "f"), "#!/bin/true\n")
			is(unix.Access(f, unix.X_OK), unix.EACCES)
			ok(unix.Chmod(f, 0o010))
			ok(unix.Access(f, unix.X_OK))
		}},
		check{"utimensat: nanoseconds, now, omit", func(d string) {
			f := put(in(d, "f"), "")
			ts := []unix.Timespec{{Sec: 1e9, Nsec: 123456789}, {Sec: 1.1e9, Nsec: 987654321}}
			ok(unix.UtimesNanoAt(unix.AT_FDCWD, f, ts, 0))
			st := stat(f)
			equal("atime", st.Atim, ts[0])
			equal("mtime", st.Mtim, ts[1])
			ok(unix.UtimesNanoAt(unix.AT_FDCWD, f, []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_NOW}}, 0))
			st = stat(f)
			equal("atime", st.Atim, ts[0])
			near(st.Mtim, time.Now())
			ok(os.Symlink("f", in(d, "l")))
			ok(unix.UtimesNanoAt(unix.AT_FDCWD, in(d, "l"), ts, unix.AT_SYMLINK_NOFOLLOW))
			equal("mtime of the link", stat(in(d, "l")).Mtim, ts[1])
			near(stat(f).Mtim, time.Now())
		}},
		check{"utimensat: before 1970 and after 2038", func(d string) {
			f := put(in(d, "f"), "")
			for _, sec := range []int64{-1000, 4e9} {
				ok(unix.UtimesNanoAt(unix.AT_FDCWD, f, []unix.Timespec{{Sec: sec}, {Sec: sec, Nsec: 5}}, 0))
				equal("mtime", stat(f).Mtim, unix.Timespec{Sec: sec, Nsec: 5})
			}
		}},
		check{"utimensat: a writer may set now, only the owner another time", func(d string) {
			f := put(in(d, "f"), "")
			ok(unix.Chmod(f, 0o666))
			as(alice, func() {
				ok(unix.UtimesNanoAt(unix.AT_FDCWD, f, nil, 0))
				is(unix.UtimesNanoAt(unix.AT_FDCWD, f, []unix.Timespec{{Sec: 1}, {Sec: 1}}, 0), unix.EPERM)
			})
			ok(unix.Chmod(f, 0o644))
			as(alice, func() { is(unix.UtimesNanoAt(unix.AT_FDCWD, f, nil, 0), unix.EACCES) })
		}},
		check{"times: what changes which, and it stays", func(d string) {
			f := put(in(d, "f"), "")
			old := []unix.Timespec{{Sec: 1e9}, {Sec: 1e9}}
			ok(unix.UtimesNanoAt(unix.AT_FDCWD, f, old, 0))
			before := stat(f)
			time.Sleep(20 * time.Millisecond)
			ok(unix.Chmod(f, 0o600))
			st := stat(f)
			equal("mtime after chmod", st.Mtim, old[1])
			equal("ctime changed by chmod", st.Ctim != before.Ctim, true)
			fd := open(f, unix.O_WRONLY, 0)
			_, err := unix.Write(fd, []byte("x"))
			ok(err)
			written := fstat(fd)
			shut(fd)
			near(written.Mtim, time.Now())
			equal("mtime after the close", stat(f).Mtim, written.Mtim)
			ok(unix.UtimesNanoAt(unix.AT_FDCWD, d, old, 0))
			put(in(d, "g"), "")
			near(stat(d).Mtim, time.Now())
		}},
		check{"statx: birth time and mount", func(d string) {
			var st unix.Statx_t
			f := put(in(d, "f"), "")
			ok(unix.Statx(unix.AT_FDCWD, f, 0, unix.STATX_BTIME, &st))
			equal("birth time is known", st.Mask&unix.STATX_BTIME != 0, true)
			near(unix.Timespec{Sec: st.Btime.Sec, Nsec: int64(st.Btime.Nsec)}, time.Now())
		}},
		check{"stat: block sizes, one device for a tree", func(d string) {
			f := put(in(d, "f"), string(make([]byte, 100000)))
			st := stat(f)
			equal("block size is at least a page", st.Blksize >= 4096, true)
			equal("blocks are counted", st.Blocks*512 >= 100000, true)
			equal("device", st.Dev, stat(d).Dev)
		}},
		check{"statfs: sizes that make sense", func(d string) {
			var st unix.Statfs_t
			ok(unix.Statfs(d, &st))
			equal("more than 16 MiB", st.Blocks*uint64(st.Bsize) > 16<<20, true)
			equal("free at most all", st.Bfree <= st.Blocks, true)
			equal("name length", st.Namelen, 255)
		}},
		check{"xattr: user.*", func(d string) {
			f := put(in(d, "f"), "")
			ok(unix.Setxattr(f, "user.one", []byte("1"), 0))
			ok(unix.Setxattr(f, "user.two", []byte("\x00\xff"), unix.XATTR_CREATE))
			is(unix.Setxattr(f, "user.two", nil, unix.XATTR_CREATE), unix.EEXIST)
			is(unix.Setxattr(f, "user.six", nil, unix.XATTR_REPLACE), unix.ENODATA)
			equal("value", xattr(f, "user.two"), "\x00\xff")
			_, err := unix.Getxattr(f, "user.two", make([]byte, 1))
			is(err, unix.ERANGE)
			_, err = unix.Getxattr(f, "user.six", nil)
			is(err, unix.ENODATA)
			list := make([]byte, 256)
			n, err := unix.Listxattr(f, list)
			ok(err)
			equal("both are listed", bytes.Contains(list[:n], []byte("user.one\x00")) && bytes.Contains(list[:n], []byte("user.two\x00")), true)
			ok(unix.Removexattr(f, "user.one"))
			is(unix.Removexattr(f, "user.one"), unix.ENODATA)
			ok(unix.Setxattr(d, "user.dir", []byte("x"), 0))
			fd := open(f, unix.O_RDONLY, 0)
			ok(unix.Unlink(f))
			ok(unix.Fsetxattr(fd, "user.late", []byte("x"), 0))
			shut(fd)
		}},
		check{"xattr: user.* follows the permissions", func(d string) {
			f := put(in(d, "f"), "")
			ok(unix.Setxattr(f, "user.x", []byte("v"), 0))
			as(alice, func() {
				is(unix.Setxattr(f, "user.x", []byte("w"), 0), unix.EACCES)
				equal("value", xattr(f, "user.x"), "v")
			})
			ok(os.Symlink("f", in(d, "l")))
			is(unix.Lsetxattr(in(d, "l"), "user.x", []byte("v"), 0), unix.EPERM)
		}},
		check{"xattr: security.capability, which a write takes away", func(d string) {
			f := put(in(d, "f"), "")
			// VFS_CAP_REVISION_2, effective; permitted: CAP_NET_BIND_SERVICE
			caps := string([]byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
			ok(unix.Setxattr(f, "security.capability", []byte(caps), 0))
			equal("value", xattr(f, "security.capability"), caps)
			fd := open(f, unix.O_WRONLY, 0)
			_, err := unix.Write(fd, []byte("x"))
			ok(err)
			shut(fd)
			_, err = unix.Getxattr(f, "security.capability", nil)
			is(err, unix.ENODATA)
		}},
		check{"xattr: trusted.*", func(d string) {
			f := put(in(d, "f"), "")
			ok(unix.Setxattr(f, "trusted.x", []byte("v"), 0))
			equal("value", xattr(f, "trusted.x"), "v")
		}},
		check{"acl: an entry for a user counts", func(d string) {
			f := put(in(d, "f"), "")
			ok(unix.Chmod(f, 0o640))
			as(alice, func() { is(openErr(f, unix.O_RDONLY, 0), unix.EACCES) })
			ok(unix.Setxattr(f, "system.posix_acl_access", aclFor(uint32(alice.uid)), 0))
			as(alice, func() { ok(openErr(f, unix.O_RDONLY, 0)) })
			as(bob, func() { is(openErr(f, unix.O_RDONLY, 0), unix.EACCES) })
			ok(unix.Removexattr(f, "system.posix_acl_access"))
			as(alice, func() { is(openErr(f, unix.O_RDONLY, 0), unix.EACCES) })
		}},
		check{"acl: a directory's default is inherited, in place of the mask", func(d string) {
			ok(unix.Setxattr(d, "system.posix_acl_default", aclFor(uint32(alice.uid)), 0))
			shut(open(in(d, "f"), unix.O_CREAT|unix.O_WRONLY, 0o666))
			as(alice, func() { ok(openErr(in(d, "f"), unix.O_RDONLY, 0)) })
			equal("mode", stat(in(d, "f")).Mode&0o777, 0o640)
		}},
	)
}

// near fails the check unless a time is of the last minute.
func near(ts unix.Timespec, now time.Time) {
	if d := now.Sub(time.Unix(ts.Unix())); d < -time.Minute || d > time.Minute {
		fail("time is %v away from now", d)
	}
}

func xattr(path, name string) string {
	b := make([]byte, 256)
	n, err := unix.Getxattr(path, name, b)
	ok(err)
	return string(b[:n])
}

// aclFor is u::rw-,u:uid:r--,g::r--,m::r--,o::--- as acl(5) and
// linux/posix_acl_xattr.h have it.
func aclFor(uid uint32) []byte {
	b := []byte{2, 0, 0, 0}
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, 6, ^uint32(0)}, {2, 4, uid}, {4, 4, ^uint32(0)}, {16, 4, ^uint32(0)}, {32, 0, ^uint32(0)}} {
		b = append(b, byte(e.tag), byte(e.tag>>8), byte(e.perm), byte(e.perm>>8),
			byte(e.id), byte(e.id>>8), byte(e.id>>16), byte(e.id>>24))
	}
	return b
}
