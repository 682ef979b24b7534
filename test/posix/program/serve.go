package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// serve answers commands, a line each, with a line each, for a test that changes
// files from elsewhere in between.
func serve() {
	var held, watch int
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		verb, arg, _ := strings.Cut(lines.Text(), " ")
		var answer string
		err := caught(func() {
			switch verb {
			case "cat":
				answer = text(arg)
			case "list":
				entries, err := os.ReadDir(arg)
				ok(err)
				for _, e := range entries {
					answer += e.Name() + " "
				}
			case "stat":
				st := stat(arg)
				answer = fmt.Sprintf("%o %d %d:%d", st.Mode, st.Size, st.Uid, st.Gid)
			case "fstat":
				st := fstat(held)
				answer = fmt.Sprintf("%o %d %d:%d", st.Mode, st.Size, st.Uid, st.Gid)
			case "cd":
				ok(os.Chdir(arg))
			case "lock": // what is held
				ok(unix.Flock(held, unix.LOCK_EX))
			case "locked":
				answer = roles["lock"]([]string{arg, "flock"})
			case "id":
				st := stat(arg)
				answer = fmt.Sprint(st.Dev, " ", st.Ino)
			case "put":
				put(arg, "by the guest")
			case "chmod":
				ok(unix.Chmod(arg, 0o600))
			case "rm":
				ok(unix.Unlink(arg))
			case "mv":
				from, to, _ := strings.Cut(arg, " ")
				ok(unix.Rename(from, to))
			case "connect":
				answer = roles["connect"]([]string{arg})
			case "hold":
				held = open(arg, unix.O_RDONLY, 0)
			case "held":
				b := make([]byte, 4096)
				n, err := unix.Pread(held, b, 0)
				ok(err)
				answer = string(b[:n])
			case "more":
				b := make([]byte, 4096)
				n, err := unix.Read(held, b)
				ok(err)
				answer = string(b[:n])
			case "watch":
				if watch == 0 {
					fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
					ok(err)
					watch = fd
				}
				_, err := unix.InotifyAddWatch(watch, arg, unix.IN_CREATE|unix.IN_DELETE|unix.IN_MODIFY|unix.IN_ATTRIB|
					unix.IN_MOVED_FROM|unix.IN_MOVED_TO|unix.IN_CLOSE_WRITE|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF)
				ok(err)
			case "events": // the next ones, and what follows them closely
				_, err := unix.Poll([]unix.PollFd{{Fd: int32(watch), Events: unix.POLLIN}}, 20000)
				ok(err)
				time.Sleep(200 * time.Millisecond)
				answer = events(watch)
			}
		})
		if err != nil {
			answer = "error: " + err.Error()
		}
		fmt.Printf("%q\n", answer)
	}
}
