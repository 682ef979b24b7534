package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func init() {
	roles["read"] = func(a []string) string { return text(a[0]) }
	register(
		check{"truncate: shrink, grow with zeros, errors", func(d string) {
			f := put(in(d, "f"), "0123456789")
			ok(unix.Truncate(f, 4))
			ok(unix.Truncate(f, 8))
			equal("text", text(f), "0123\x00\x00\x00\x00")
			is(unix.Truncate(d, 0), unix.EISDIR)
			is(unix.Truncate(in(d, "none"), 0), unix.ENOENT)
			is(unix.Truncate(f, -1), unix.EINVAL)
			fd := open(f, unix.O_RDONLY, 0)
			is(unix.Ftruncate(fd, 1), unix.EINVAL)
			shut(fd)
		}},
		check{"truncate: the cut page reads as zeros afterwards", func(d string) {
			fd := open(put(in(d, "f"), strings.Repeat("x", 6000)), unix.O_RDWR, 0)
			b := make([]byte, 6000)
			_, err := unix.Pread(fd, b, 0)
			ok(err)
			ok(unix.Ftruncate(fd, 5))
			ok(unix.Ftruncate(fd, 6000))
			_, err = unix.Pread(fd, b, 0)
			ok(err)
			equal("data", string(b), "xxxxx"+strings.Repeat("\x00", 5995))
			shut(fd)
		}},
		check{"write: a hole is zeros, beyond 4 GiB", func(d string) {
			fd := open(in(d, "f"), unix.O_CREAT|unix.O_RDWR, 0o644)
			const far = 5<<30 + 123
			_, err := unix.Pwrite(fd, []byte("far"), far)
			ok(err)
			equal("size", fstat(fd).Size, far+3)
			equal("blocks are few", fstat(fd).Blocks < 1024, true)
			b := make([]byte, 6)
			_, err = unix.Pread(fd, b, far-3)
			ok(err)
			equal("data", string(b), "\x00\x00\x00far")
			shut(fd)
			fd = open(in(d, "f"), unix.O_RDONLY, 0)
			n, err := unix.Seek(fd, -3, unix.SEEK_END)
			ok(err)
			equal("offset", n, far)
			shut(fd)
		}},
		check{"lseek: SEEK_DATA and SEEK_HOLE", func(d string) {
			fd := open(in(d, "f"), unix.O_CREAT|unix.O_RDWR, 0o644)
			_, err := unix.Pwrite(fd, []byte(strings.Repeat("x", 4096)), 1<<20)
			ok(err)
			ok(unix.Ftruncate(fd, 4<<20))
			at, err := unix.Seek(fd, 0, unix.SEEK_DATA)
			ok(err)
			equal("data", at, 1<<20)
			at, err = unix.Seek(fd, at, unix.SEEK_HOLE)
			ok(err)
			equal("hole", at, 1<<20+4096)
			_, err = unix.Seek(fd, at, unix.SEEK_DATA)
			is(err, unix.ENXIO)
			_, err = unix.Seek(fd, -1, unix.SEEK_SET)
			is(err, unix.EINVAL)
			shut(fd)
		}},
		check{"fallocate: size, keep, punch", func(d string) {
			fd := open(in(d, "f"), unix.O_CREAT|unix.O_RDWR, 0o644)
			ok(unix.Fallocate(fd, 0, 0, 65536))
			equal("size", fstat(fd).Size, 65536)
			equal("blocks", fstat(fd).Blocks >= 128, true)
			ok(unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, 1<<20))
			equal("size", fstat(fd).Size, 65536)
			_, err := unix.Pwrite(fd, []byte(strings.Repeat("x", 16384)), 0)
			ok(err)
			b := make([]byte, 16384)
			_, err = unix.Pread(fd, b, 0)
			ok(err)
			ok(unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE|unix.FALLOC_FL_PUNCH_HOLE, 4096, 4096))
			_, err = unix.Pread(fd, b, 0)
			ok(err)
			equal("before", b[4095], 'x')
			equal("punched", b[4096], 0)
			equal("after", b[8192], 'x')
			shut(fd)
		}},
		check{"copy_file_range and sendfile", func(d string) {
			data := strings.Repeat("0123456789abcdef", 10000)
			a := open(put(in(d, "a"), data), unix.O_RDONLY, 0)
			b := open(in(d, "b"), unix.O_CREAT|unix.O_WRONLY, 0o644)
			copyAll(func() (int, error) { return unix.CopyFileRange(a, nil, b, nil, len(data), 0) })
			equal("copy", text(in(d, "b")) == data, true)
			c := open(in(d, "c"), unix.O_CREAT|unix.O_WRONLY, 0o644)
			var from int64
			copyAll(func() (int, error) { return unix.Sendfile(c, a, &from, len(data)) })
			equal("sent", text(in(d, "c")) == data, true)
			shut(a, b, c)
		}},
		check{"vectors: preadv and pwritev at offsets", func(d string) {
			fd := open(in(d, "f"), unix.O_CREAT|unix.O_RDWR, 0o644)
			_, err := unix.Pwritev(fd, [][]byte{[]byte("one"), []byte("two")}, 2)
			ok(err)
			a, b := make([]byte, 4), make([]byte, 4)
			n, err := unix.Preadv(fd, [][]byte{a, b}, 0)
			ok(err)
			equal("bytes", n, 8)
			equal("data", string(a)+string(b), "\x00\x00onetwo")
			shut(fd)
		}},
		check{"fsync, fdatasync, syncfs, O_SYNC, of files and directories", func(d string) {
			fd := open(in(d, "f"), unix.O_CREAT|unix.O_RDWR|unix.O_SYNC, 0o644)
			_, err := unix.Write(fd, []byte("x"))
			ok(err)
			ok(unix.Fsync(fd))
			ok(unix.Fdatasync(fd))
			ok(unix.Syncfs(fd))
			dir := open(d, unix.O_RDONLY|unix.O_DIRECTORY, 0)
			ok(unix.Fsync(dir))
			shut(fd, dir)
			fd = open(in(d, "f"), unix.O_RDONLY, 0)
			ok(unix.Fsync(fd))
			shut(fd)
		}},
		check{"mmap: shared writes are what read sees, and the other way round", func(d string) {
			fd := open(put(in(d, "f"), strings.Repeat(".", 8192)), unix.O_RDWR, 0)
			m, err := unix.Mmap(fd, 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			ok(err)
			copy(m[4094:], "mapped")
			b := make([]byte, 6)
			_, err = unix.Pread(fd, b, 4094)
			ok(err)
			equal("read", string(b), "mapped")
			_, err = unix.Pwrite(fd, []byte("write"), 100)
			ok(err)
			equal("mapping", string(m[100:105]), "write")
			ok(unix.Msync(m, unix.MS_SYNC))
			equal("another process reads", other("read", in(d, "f"))[4094:4100], "mapped")
			ok(unix.Munmap(m))
			shut(fd)
		}},
		check{"mmap: private writes stay private; a mapping outlives name and descriptor", func(d string) {
			fd := open(put(in(d, "f"), strings.Repeat("a", 4096)), unix.O_RDWR, 0)
			m, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
			ok(err)
			shared, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			ok(err)
			m[0] = 'P'
			equal("file", text(in(d, "f"))[0], 'a')
			ok(unix.Link(in(d, "f"), in(d, "g")))
			ok(unix.Unlink(in(d, "f")))
			shut(fd)
			shared[1] = 'S'
			ok(unix.Munmap(shared))
			equal("file after unmapping", text(in(d, "g"))[:2], "aS")
			ok(unix.Munmap(m))
		}},
		check{"mmap: the rest of the last page is zeros and not written", func(d string) {
			fd := open(put(in(d, "f"), "short"), unix.O_RDWR, 0)
			m, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			ok(err)
			equal("beyond the end", m[5], 0)
			m[0], m[10] = 'S', 'x'
			ok(unix.Msync(m, unix.MS_SYNC))
			equal("size", fstat(fd).Size, 5)
			equal("text", text(in(d, "f")), "Short")
			ok(unix.Munmap(m))
			shut(fd)
		}},
		check{"exec: a program is run from here, and written to afterwards", func(d string) {
			self, err := os.Open("/proc/self/exe")
			ok(err)
			p := in(d, "program")
			out, err := os.OpenFile(p, os.O_CREATE|os.O_WRONLY, 0o755)
			ok(err)
			_, err = io.Copy(out, self)
			ok(err)
			ok(out.Close())
			self.Close()
			cmd := otherCmd("read", put(in(d, "f"), "ran"))
			cmd.Path = p
			got, err := cmd.Output()
			ok(err)
			equal("answer", string(got), "ran")
			put(p, "replaced")
		}},
		check{"write: many descriptors of one file agree", func(d string) {
			var fds []int
			for range 8 {
				fds = append(fds, open(in(d, "f"), unix.O_CREAT|unix.O_RDWR, 0o644))
			}
			for i, fd := range fds {
				_, err := unix.Pwrite(fd, fmt.Appendf(nil, "%d", i), int64(i))
				ok(err)
			}
			b := make([]byte, 8)
			_, err := unix.Pread(fds[0], b, 0)
			ok(err)
			equal("data", string(b), "01234567")
			shut(fds...)
		}},
	)
}

// copyAll calls f until it has nothing more to copy.
func copyAll(f func() (int, error)) {
	for {
		n, err := f()
		ok(err)
		if n == 0 {
			return
		}
	}
}
