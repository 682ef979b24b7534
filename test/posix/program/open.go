package main

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func init() {
	register(
		check{"open: O_CREAT makes a file with the mode and the mask", func(d string) {
			shut(open(in(d, "f"), unix.O_CREAT|unix.O_WRONLY, 0o666))
			equal("mode", stat(in(d, "f")).Mode, unix.S_IFREG|0o644)
		}},
		check{"open: the mask is the process' and no other", func(d string) {
			old := unix.Umask(0)
			defer unix.Umask(old)
			shut(open(in(d, "f"), unix.O_CREAT|unix.O_WRONLY, 0o666))
			ok(unix.Mkdir(in(d, "d"), 0o777))
			equal("mode of the file", stat(in(d, "f")).Mode&0o7777, 0o666)
			equal("mode of the directory", stat(in(d, "d")).Mode&0o7777, 0o777)
		}},
		check{"open: O_CREAT takes set-id bits", func(d string) {
			shut(open(in(d, "f"), unix.O_CREAT|unix.O_WRONLY, 0o4711))
			equal("mode", stat(in(d, "f")).Mode&0o7777, 0o4711)
		}},
		check{"open: O_EXCL refuses what exists", func(d string) {
			put(in(d, "f"), "")
			ok(os.Symlink("nowhere", in(d, "l")))
			is(openErr(in(d, "f"), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644), unix.EEXIST)
			is(openErr(in(d, "l"), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644), unix.EEXIST)
		}},
		check{"open: O_CREAT through a dangling link makes its target", func(d string) {
			ok(os.Symlink("target", in(d, "l")))
			shut(open(in(d, "l"), unix.O_CREAT|unix.O_WRONLY, 0o644))
			equal("type", stat(in(d, "target")).Mode&unix.S_IFMT, unix.S_IFREG)
		}},
		check{"open: O_TRUNC empties", func(d string) {
			shut(open(put(in(d, "f"), "text"), unix.O_WRONLY|unix.O_TRUNC, 0))
			equal("size", stat(in(d, "f")).Size, 0)
		}},
		check{"open: O_APPEND writes at the end, whatever the offset", func(d string) {
			a := open(put(in(d, "f"), "one"), unix.O_WRONLY|unix.O_APPEND, 0)
			b := open(in(d, "f"), unix.O_WRONLY|unix.O_APPEND, 0)
			for _, fd := range []int{a, b, a} {
				_, err := unix.Seek(fd, 0, unix.SEEK_SET)
				ok(err)
				_, err = unix.Write(fd, []byte("+x"))
				ok(err)
			}
			shut(a, b)
			equal("text", text(in(d, "f")), "one+x+x+x")
		}},
		check{"open: O_DIRECT", func(d string) {
			fd := open(in(d, "f"), unix.O_CREAT|unix.O_RDWR|unix.O_DIRECT, 0o644)
			page, err := unix.Mmap(-1, 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
			ok(err)
			copy(page, strings.Repeat("direct..", 512))
			n, err := unix.Pwrite(fd, page[:4096], 4096)
			ok(err)
			equal("written", n, 4096)
			n, err = unix.Pread(fd, page[4096:], 4096)
			ok(err)
			equal("read", n, 4096)
			equal("data", string(page[4096:]), string(page[:4096]))
			equal("size", fstat(fd).Size, 8192)
			shut(fd)
		}},
		check{"open: O_TMPFILE has no name until it is linked", func(d string) {
			fd := open(d, unix.O_TMPFILE|unix.O_RDWR, 0o640)
			_, err := unix.Write(fd, []byte("nameless"))
			ok(err)
			entries, err := os.ReadDir(d)
			ok(err)
			equal("entries", len(entries), 0)
			equal("links", fstat(fd).Nlink, 0)
			ok(unix.Linkat(fd, "", unix.AT_FDCWD, in(d, "named"), unix.AT_EMPTY_PATH))
			equal("links", fstat(fd).Nlink, 1)
			equal("text", text(in(d, "named")), "nameless")
			equal("mode", stat(in(d, "named")).Mode, unix.S_IFREG|0o640)
			shut(fd)
		}},
		check{"open: O_TMPFILE is linked through /proc as well", func(d string) {
			fd := open(d, unix.O_TMPFILE|unix.O_WRONLY, 0o600)
			ok(unix.Linkat(unix.AT_FDCWD, procFD(fd), unix.AT_FDCWD, in(d, "named"), unix.AT_SYMLINK_FOLLOW))
			equal("inode", stat(in(d, "named")).Ino, fstat(fd).Ino)
			shut(fd)
		}},
		check{"open: O_DIRECTORY and O_NOFOLLOW", func(d string) {
			put(in(d, "f"), "")
			ok(os.Symlink("f", in(d, "l")))
			is(openErr(in(d, "f"), unix.O_DIRECTORY, 0), unix.ENOTDIR)
			is(openErr(in(d, "l"), unix.O_NOFOLLOW, 0), unix.ELOOP)
			is(openErr(d, unix.O_WRONLY, 0), unix.EISDIR)
			is(openErr(in(d, "f", "below"), 0, 0), unix.ENOTDIR)
			is(openErr(in(d, "none"), 0, 0), unix.ENOENT)
			is(openErr(in(d, "none", "below"), unix.O_CREAT|unix.O_WRONLY, 0o644), unix.ENOENT)
		}},
		check{"open: an access mode is kept", func(d string) {
			fd := open(put(in(d, "f"), "text"), unix.O_RDONLY, 0)
			_, err := unix.Write(fd, []byte("x"))
			is(err, unix.EBADF)
			shut(fd)
			fd = open(in(d, "f"), unix.O_WRONLY, 0)
			_, err = unix.Read(fd, make([]byte, 1))
			is(err, unix.EBADF)
			shut(fd)
		}},
		check{"open: mode 0 for the one who makes it", func(d string) {
			as(alice, func() {
				fd := open(in(d, "f"), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0)
				_, err := unix.Write(fd, []byte("x"))
				ok(err)
				shut(fd)
				is(openErr(in(d, "f"), unix.O_RDONLY, 0), unix.EACCES)
			})
		}},
		check{"open: reopen a deleted file through /proc", func(d string) {
			fd := open(in(d, "f"), unix.O_CREAT|unix.O_RDWR, 0o644)
			_, err := unix.Write(fd, []byte("kept"))
			ok(err)
			ok(unix.Unlink(in(d, "f")))
			equal("text", text(procFD(fd)), "kept")
			shut(fd)
		}},
		check{"open: a deleted file, opened for reading, reopened for writing", func(d string) {
			fd := open(put(in(d, "f"), "kept"), unix.O_RDONLY, 0)
			ok(unix.Unlink(in(d, "f")))
			again := open(procFD(fd), unix.O_RDWR, 0)
			shut(fd, again)
		}},
		check{"unlink: a deleted file lives while it is open", func(d string) {
			fd := open(put(in(d, "f"), "old"), unix.O_RDWR, 0)
			ok(unix.Unlink(in(d, "f")))
			equal("links", fstat(fd).Nlink, 0)
			put(in(d, "f"), "new, longer")
			_, err := unix.Pwrite(fd, []byte("OLD!"), 0)
			ok(err)
			ok(unix.Fchmod(fd, 0o600))
			ok(unix.Ftruncate(fd, 3))
			b := make([]byte, 16)
			n, err := unix.Pread(fd, b, 0)
			ok(err)
			equal("old file", string(b[:n]), "OLD")
			equal("size of the old", fstat(fd).Size, 3)
			equal("new file", text(in(d, "f")), "new, longer")
			equal("mode of the new", stat(in(d, "f")).Mode&0o777, 0o644)
			shut(fd)
		}},
	)
}
