package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func procFD(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

func rename2(a, b string, flags uint) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, flags)
}

func init() {
	register(
		check{"mkdir, rmdir: errors", func(d string) {
			put(in(d, "f"), "")
			ok(unix.Mkdir(in(d, "s"), 0o755))
			is(unix.Mkdir(in(d, "s"), 0o755), unix.EEXIST)
			is(unix.Mkdir(in(d, "f"), 0o755), unix.EEXIST)
			is(unix.Mkdir(in(d, "f/x"), 0o755), unix.ENOTDIR)
			is(unix.Mkdir(in(d, "n/x"), 0o755), unix.ENOENT)
			put(in(d, "s/f"), "")
			is(unix.Rmdir(in(d, "s")), unix.ENOTEMPTY)
			is(unix.Rmdir(in(d, "f")), unix.ENOTDIR)
			is(unix.Rmdir(in(d, "n")), unix.ENOENT)
			is(unix.Rmdir(d+"/s/."), unix.EINVAL)
			is(unix.Unlink(in(d, "s")), unix.EISDIR)
		}},
		check{"mkdir: a directory's links count its directories", func(d string) {
			base := stat(d).Nlink
			ok(unix.Mkdir(in(d, "a"), 0o755))
			ok(unix.Mkdir(in(d, "b"), 0o755))
			put(in(d, "f"), "")
			equal("after two", stat(d).Nlink-base, 2)
			equal("a new one", stat(in(d, "a")).Nlink, 2)
			ok(unix.Rmdir(in(d, "a")))
			equal("after one is gone", stat(d).Nlink-base, 1)
		}},
		check{"rmdir: the working directory of a process", func(d string) {
			ok(unix.Mkdir(in(d, "s"), 0o755))
			fd := open(in(d, "s"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
			ok(unix.Rmdir(in(d, "s")))
			equal("links", fstat(fd).Nlink, 0)
			_, err := unix.Openat(fd, "f", unix.O_CREAT|unix.O_WRONLY, 0o644)
			is(err, unix.ENOENT)
			shut(fd)
		}},
		check{"link: counts, one file under two names", func(d string) {
			put(in(d, "a"), "text")
			ok(unix.Link(in(d, "a"), in(d, "b")))
			equal("links", stat(in(d, "a")).Nlink, 2)
			equal("inode", stat(in(d, "a")).Ino, stat(in(d, "b")).Ino)
			put(in(d, "b"), "changed")
			equal("text", text(in(d, "a")), "changed")
			ok(unix.Unlink(in(d, "a")))
			equal("links", stat(in(d, "b")).Nlink, 1)
			is(unix.Link(in(d, "none"), in(d, "c")), unix.ENOENT)
			is(unix.Link(in(d, "b"), in(d, "b")), unix.EEXIST)
			is(unix.Link(d, in(d, "c")), unix.EPERM)
		}},
		check{"link: both names are open at once", func(d string) {
			a := open(in(d, "a"), unix.O_CREAT|unix.O_RDWR, 0o644)
			ok(unix.Link(in(d, "a"), in(d, "b")))
			b := open(in(d, "b"), unix.O_RDONLY, 0)
			_, err := unix.Write(a, []byte("seen"))
			ok(err)
			buf := make([]byte, 8)
			n, err := unix.Read(b, buf)
			ok(err)
			equal("text", string(buf[:n]), "seen")
			equal("links", fstat(a).Nlink, 2)
			shut(a, b)
		}},
		check{"link: of a symbolic link is to the link", func(d string) {
			ok(os.Symlink("nowhere", in(d, "l")))
			ok(unix.Link(in(d, "l"), in(d, "m")))
			equal("type", stat(in(d, "m")).Mode&unix.S_IFMT, unix.S_IFLNK)
		}},
		check{"symlink: text, size, long targets", func(d string) {
			long := strings.Repeat("x/", 2000)
			ok(os.Symlink(long, in(d, "l")))
			equal("size", stat(in(d, "l")).Size, 4000)
			got, err := os.Readlink(in(d, "l"))
			ok(err)
			equal("target", got, long)
			is(unix.Symlink("x", in(d, "l")), unix.EEXIST)
			is(unix.Symlink("", in(d, "m")), unix.ENOENT)
			is(unix.Symlink(strings.Repeat("x", 4096), in(d, "m")), unix.ENAMETOOLONG)
			_, err = unix.Readlink(d, make([]byte, 8))
			is(err, unix.EINVAL)
		}},
		check{"symlink: loops are ELOOP", func(d string) {
			ok(os.Symlink("b", in(d, "a")))
			ok(os.Symlink("a", in(d, "b")))
			is(openErr(in(d, "a"), 0, 0), unix.ELOOP)
			is(unix.Chmod(in(d, "a", "x"), 0o644), unix.ELOOP)
		}},
		check{"symlink: an absolute target starts at the process' root", func(d string) {
			put(in(d, "f"), "here")
			ok(os.Symlink(in(d, "f"), in(d, "l")))
			equal("text", text(in(d, "l")), "here")
		}},
		check{"rename: over a file, which open descriptors keep", func(d string) {
			fd := open(put(in(d, "b"), "replaced"), unix.O_RDONLY, 0)
			put(in(d, "a"), "new")
			ok(unix.Rename(in(d, "a"), in(d, "b")))
			equal("text", text(in(d, "b")), "new")
			equal("links of the old", fstat(fd).Nlink, 0)
			b := make([]byte, 16)
			n, err := unix.Read(fd, b)
			ok(err)
			equal("text of the old", string(b[:n]), "replaced")
			is(unix.Access(in(d, "a"), unix.F_OK), unix.ENOENT)
			shut(fd)
		}},
		check{"rename: an open file follows its name", func(d string) {
			fd := open(put(in(d, "a"), "text"), unix.O_RDWR, 0)
			ok(unix.Rename(in(d, "a"), in(d, "b")))
			_, err := unix.Write(fd, []byte("TEXT"))
			ok(err)
			equal("text", text(in(d, "b")), "TEXT")
			link, err := os.Readlink(procFD(fd))
			ok(err)
			equal("name", link, in(d, "b"))
			shut(fd)
		}},
		check{"rename: errors", func(d string) {
			put(in(d, "f"), "")
			ok(os.MkdirAll(in(d, "s/t"), 0o755))
			ok(unix.Mkdir(in(d, "e"), 0o755))
			is(unix.Rename(in(d, "none"), in(d, "x")), unix.ENOENT)
			is(unix.Rename(in(d, "f"), in(d, "s")), unix.EISDIR)
			is(unix.Rename(in(d, "s"), in(d, "f")), unix.ENOTDIR)
			is(unix.Rename(in(d, "e"), in(d, "s")), unix.ENOTEMPTY)
			is(unix.Rename(in(d, "s"), in(d, "s/t/u")), unix.EINVAL)
			ok(unix.Rename(in(d, "s"), in(d, "e")))
			equal("type", stat(in(d, "e/t")).Mode&unix.S_IFMT, unix.S_IFDIR)
			ok(unix.Link(in(d, "f"), in(d, "g")))
			ok(unix.Rename(in(d, "f"), in(d, "g"))) // two names of one file: nothing happens
			ok(unix.Access(in(d, "f"), unix.F_OK))
		}},
		check{"rename: a directory with open files and a working directory", func(d string) {
			ok(os.MkdirAll(in(d, "s/t"), 0o755))
			fd := open(in(d, "s/t/f"), unix.O_CREAT|unix.O_RDWR, 0o644)
			dir := open(in(d, "s/t"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
			ok(unix.Rename(in(d, "s"), in(d, "moved")))
			_, err := unix.Write(fd, []byte("text"))
			ok(err)
			equal("text", text(in(d, "moved/t/f")), "text")
			var st unix.Stat_t
			ok(unix.Fstatat(dir, "f", &st, 0))
			equal("size", st.Size, 4)
			made, err := unix.Openat(dir, "g", unix.O_CREAT|unix.O_WRONLY, 0o644)
			ok(err)
			ok(unix.Access(in(d, "moved/t/g"), unix.F_OK))
			shut(fd, dir, made)
		}},
		check{"renameat2: RENAME_NOREPLACE and RENAME_EXCHANGE", func(d string) {
			put(in(d, "a"), "a")
			put(in(d, "b"), "b")
			is(rename2(in(d, "a"), in(d, "b"), unix.RENAME_NOREPLACE), unix.EEXIST)
			ok(rename2(in(d, "a"), in(d, "c"), unix.RENAME_NOREPLACE))
			ok(unix.Mkdir(in(d, "s"), 0o755))
			ok(rename2(in(d, "c"), in(d, "s"), unix.RENAME_EXCHANGE))
			equal("text", text(in(d, "s")), "a")
			equal("type", stat(in(d, "c")).Mode&unix.S_IFMT, unix.S_IFDIR)
			is(rename2(in(d, "b"), in(d, "none"), unix.RENAME_EXCHANGE), unix.ENOENT)
		}},
		check{"names: 255 bytes and no more", func(d string) {
			name := strings.Repeat("n", 255)
			put(in(d, name), "")
			entries, err := os.ReadDir(d)
			ok(err)
			equal("name", entries[0].Name(), name)
			is(openErr(in(d, name+"n"), unix.O_CREAT|unix.O_WRONLY, 0o644), unix.ENAMETOOLONG)
			is(unix.Mkdir(in(d, name+"n"), 0o755), unix.ENAMETOOLONG)
			is(unix.Access(d+strings.Repeat("/"+name, 17), unix.F_OK), unix.ENAMETOOLONG)
		}},
		check{"names: any bytes but / and NUL", func(d string) {
			name := "\x01\n \xff\xfe\\\"*"
			put(in(d, name), "odd")
			entries, err := os.ReadDir(d)
			ok(err)
			equal("name", entries[0].Name(), name)
			equal("text", text(in(d, name)), "odd")
		}},
		check{"names: a tree deeper than PATH_MAX, step by step", func(d string) {
			name := strings.Repeat("d", 200)
			at := open(d, unix.O_RDONLY|unix.O_DIRECTORY, 0)
			for range 25 {
				ok(unix.Mkdirat(at, name, 0o755))
				next, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
				ok(err)
				shut(at)
				at = next
			}
			shut(at)
		}},
		check{"readdir: many entries, each once", func(d string) {
			for i := range 400 {
				shut(open(in(d, fmt.Sprintf("entry-with-a-longer-name-%d", i)), unix.O_CREAT|unix.O_WRONLY, 0o644))
			}
			entries, err := os.ReadDir(d)
			ok(err)
			equal("entries", len(entries), 400)
		}},
		check{"readdir: while entries are removed", func(d string) {
			for i := range 150 {
				put(in(d, fmt.Sprintf("e%d", i)), "")
			}
			f, err := os.Open(d)
			ok(err)
			defer f.Close()
			removed := 0
			for {
				names, err := f.Readdirnames(50)
				if err != nil {
					break
				}
				for _, n := range names {
					ok(unix.Unlink(in(d, n)))
					removed++
				}
			}
			equal("removed", removed, 150)
			ok(unix.Rmdir(d))
			ok(unix.Mkdir(d, 0o777))
		}},
		check{"readdir: types, inodes, rewinding", func(d string) {
			put(in(d, "f"), "")
			ok(unix.Mkdir(in(d, "s"), 0o755))
			ok(os.Symlink("f", in(d, "l")))
			f, err := os.Open(d)
			ok(err)
			defer f.Close()
			for range 2 {
				entries, err := f.ReadDir(-1)
				ok(err)
				equal("entries", len(entries), 3)
				for _, e := range entries {
					fi, err := e.Info()
					ok(err)
					equal("type of "+e.Name(), e.Type(), fi.Mode().Type())
				}
				_, err = f.Seek(0, 0)
				ok(err)
				put(in(d, "f"), "")
			}
		}},
	)
}
