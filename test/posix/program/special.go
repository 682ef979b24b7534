package main

import (
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	roles["write"] = func(a []string) string { put(a[0], a[1]); return "done" }
	roles["connect"] = func(a []string) string {
		c, err := net.DialTimeout("unix", a[0], 5*time.Second)
		ok(err)
		defer c.Close()
		_, err = c.Write([]byte("hello"))
		ok(err)
		b := make([]byte, 16)
		n, err := c.Read(b)
		ok(err)
		return string(b[:n])
	}
	roles["lock"] = func(a []string) string {
		fd := open(a[0], unix.O_RDWR, 0)
		how := map[string]func() error{
			"flock": func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) },
			"fcntl": func() error {
				return unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Len: 10})
			},
			"ofd": func() error {
				return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Len: 10})
			},
		}[a[1]]
		if err := how(); err != nil {
			return err.Error()
		}
		return "locked"
	}
	register(
		check{"fifo: between two processes", func(d string) {
			p := in(d, "p")
			ok(unix.Mkfifo(p, 0o600))
			equal("type", stat(p).Mode&unix.S_IFMT, unix.S_IFIFO)
			is(openErr(p, unix.O_WRONLY|unix.O_NONBLOCK, 0), unix.ENXIO)
			var got string
			beside(func() { got = text(p) }, "write", p, "through the pipe")
			equal("text", got, "through the pipe")
		}},
		check{"unix socket: bound here, connected by another process", func(d string) {
			p := in(d, "s")
			l, err := net.Listen("unix", p)
			ok(err)
			defer l.Close()
			equal("type", stat(p).Mode&unix.S_IFMT, unix.S_IFSOCK)
			_, err = net.Listen("unix", p)
			is(err, unix.EADDRINUSE)
			got := beside(func() {
				c, err := l.Accept()
				ok(err)
				b := make([]byte, 16)
				n, err := c.Read(b)
				ok(err)
				_, err = c.Write([]byte(strings.ToUpper(string(b[:n]))))
				ok(err)
				c.Close()
			}, "connect", p)
			equal("answer", got, "HELLO")
		}},
		check{"unix socket: without a listener it is refused; rename keeps it", func(d string) {
			p := in(d, "s")
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p})
			ok(err)
			l.SetUnlinkOnClose(false)
			ok(unix.Rename(p, in(d, "moved")))
			c, err := net.Dial("unix", in(d, "moved"))
			ok(err)
			c.Close()
			l.Close()
			_, err = net.Dial("unix", in(d, "moved"))
			is(err, unix.ECONNREFUSED)
			is(openErr(in(d, "moved"), unix.O_RDONLY, 0), unix.ENXIO)
		}},
		check{"unix socket: the owner is who bound it, and connecting needs write", func(d string) {
			p := in(d, "s")
			var l net.Listener
			as(alice, func() {
				var err error
				l, err = net.Listen("unix", p)
				ok(err)
			})
			defer l.Close()
			equal("owner", stat(p).Uid, uint32(alice.uid))
			ok(unix.Chmod(p, 0o700))
			as(bob, func() {
				_, err := net.Dial("unix", p)
				is(err, unix.EACCES)
			})
		}},
		check{"mknod: a regular file and a socket", func(d string) {
			ok(unix.Mknod(in(d, "f"), unix.S_IFREG|0o640, 0))
			equal("mode", stat(in(d, "f")).Mode, unix.S_IFREG|0o640)
			ok(unix.Mknod(in(d, "s"), unix.S_IFSOCK|0o640, 0))
			is(unix.Mknod(in(d, "f"), unix.S_IFREG|0o640, 0), unix.EEXIST)
		}},
		check{"mknod: devices", func(d string) {
			ok(unix.Mknod(in(d, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
			st := stat(in(d, "null"))
			equal("mode", st.Mode, unix.S_IFCHR|0o644)
			equal("device", st.Rdev, unix.Mkdev(1, 3))
			ok(unix.Mknod(in(d, "loop"), unix.S_IFBLK|0o600, int(unix.Mkdev(7, 0))))
		}},
		check{"mknod: a whiteout, as overlayfs makes them", func(d string) {
			ok(unix.Mknod(in(d, "w"), unix.S_IFCHR, 0))
			equal("device", stat(in(d, "w")).Rdev, 0)
		}},
		check{"mknod: not for users", func(d string) {
			as(alice, func() { is(unix.Mknod(in(d, "n"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))), unix.EPERM) })
		}},
		check{"flock, fcntl and OFD locks hold other processes off", func(d string) {
			for _, kind := range []string{"flock", "fcntl", "ofd"} {
				f := put(in(d, kind), "0123456789")
				equal(kind+" when free", other("lock", f, kind), "locked")
				fd := open(f, unix.O_RDWR, 0)
				lock := &unix.Flock_t{Type: unix.F_WRLCK, Len: 5}
				want := unix.EAGAIN.Error()
				switch kind {
				case "flock":
					ok(unix.Flock(fd, unix.LOCK_EX))
				case "fcntl":
					ok(unix.FcntlFlock(uintptr(fd), unix.F_SETLK, lock))
				case "ofd":
					ok(unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, lock))
				}
				equal(kind+" when held", other("lock", f, kind), want)
				shut(fd)
				equal(kind+" when released", other("lock", f, kind), "locked")
			}
		}},
		check{"inotify: what the container does itself, once", func(d string) {
			fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
			ok(err)
			_, err = unix.InotifyAddWatch(fd, d, unix.IN_CREATE|unix.IN_DELETE|unix.IN_MOVED_FROM|unix.IN_MOVED_TO|unix.IN_CLOSE_WRITE)
			ok(err)
			put(in(d, "f"), "x")
			ok(os.Rename(in(d, "f"), in(d, "g")))
			ok(os.Remove(in(d, "g")))
			time.Sleep(50 * time.Millisecond) // an echo of the host's would come late
			equal("events", events(fd), "create f, close_write f, moved_from f, moved_to g, delete g")
			shut(fd)
		}},
	)
}
