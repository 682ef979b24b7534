package main

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// numbered are bytes that tell where in a file they belong.
func numbered(n int) []byte {
	b := make([]byte, 0, n+8)
	for i := 0; len(b) < n; i++ {
		b = binary.BigEndian.AppendUint64(b, uint64(i))
	}
	return b[:n]
}

// same fails at the first byte that differs.
func same(what string, got, want []byte) {
	equal(what+": length", len(got), len(want))
	for i := range want {
		if got[i] != want[i] {
			fail("%s: byte %d, in page %d: %d, want %d", what, i, i/4096, got[i], want[i])
		}
	}
}

// step reads a file to its end, n bytes at a time.
func step(path string, n int) (all []byte) {
	fd := open(path, unix.O_RDONLY, 0)
	defer shut(fd)
	b := make([]byte, n)
	copyAll(func() (int, error) {
		n, err := unix.Read(fd, b)
		all = append(all, b[:max(n, 0)]...)
		return n, err
	})
	return all
}

// Systems read long files ahead of who reads them, and keep what they read: each way
// gets a file of its own, which nobody has read before.
func init() {
	const size = 1<<20 + 777
	fresh := func(d, name string) string {
		path := in(d, name)
		fd := open(path, unix.O_CREAT|unix.O_WRONLY, 0o644)
		for b := numbered(size); len(b) > 0; {
			n, err := unix.Write(fd, b[:min(len(b), 100_000)])
			ok(err)
			b = b[n:]
		}
		shut(fd)
		return path
	}
	mapped := func(path string, pages func(n int) []int, advice int) {
		fd := open(path, unix.O_RDONLY, 0)
		b, err := unix.Mmap(fd, 0, size, unix.PROT_READ, unix.MAP_SHARED)
		ok(err)
		shut(fd)
		ok(unix.Madvise(b, advice))
		want := numbered(size)
		for _, p := range pages((size + 4095) / 4096) {
			end := min((p+1)*4096, size)
			same(fmt.Sprintf("page %d", p), b[p*4096:end], want[p*4096:end])
		}
		ok(unix.Munmap(b))
	}
	forward := func(n int) (all []int) {
		for i := range n {
			all = append(all, i)
		}
		return all
	}
	scattered := func(n int) (all []int) {
		for i := range n {
			all = append(all, i*101%n)
		}
		return all
	}
	register(
		check{"read: a long file, by steps of several sizes", func(d string) {
			for _, n := range []int{512, 1000, 4096, 5000, 8192, 16384, 65536, 1 << 21} {
				what := fmt.Sprintf("by %d", n)
				path := fresh(d, what)
				same(what, step(path, n), numbered(size))
				same(what+", again", step(path, n), numbered(size))
			}
		}},
		check{"mmap: a long file, forward and here and there", func(d string) {
			mapped(fresh(d, "forward"), forward, unix.MADV_NORMAL)
			mapped(fresh(d, "sequential"), forward, unix.MADV_SEQUENTIAL)
			mapped(fresh(d, "scattered"), scattered, unix.MADV_NORMAL)
			mapped(fresh(d, "random"), scattered, unix.MADV_RANDOM)
			mapped(fresh(d, "needed"), scattered, unix.MADV_WILLNEED)
		}},
		check{"readahead and fadvise: a long file", func(d string) {
			path := fresh(d, "f")
			fd := open(path, unix.O_RDONLY, 0)
			ok(unix.Fadvise(fd, 4096, 0, unix.FADV_WILLNEED))
			shut(fd)
			same("after the advice", step(path, 4096), numbered(size))
		}},
		check{"read: a file that grows while it is read", func(d string) {
			path, all := in(d, "f"), numbered(size)
			out := open(path, unix.O_CREAT|unix.O_WRONLY|unix.O_APPEND, 0o644)
			from := open(path, unix.O_RDONLY, 0)
			b := make([]byte, 3000)
			var got []byte
			for at := 0; at < size; {
				n, err := unix.Write(out, all[at:min(at+41_111, size)])
				ok(err)
				at += n
				copyAll(func() (int, error) {
					n, err := unix.Read(from, b)
					got = append(got, b[:max(n, 0)]...)
					return n, err
				})
			}
			same("what was read", got, all)
			shut(out, from)
		}},
	)
}
