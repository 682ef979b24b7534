// Command program checks, operation by operation, that a directory's file system
// behaves as POSIX and Linux's manual pages say: `program DIRECTORY...`. It prints
// a line for each check that fails, "fail DIRECTORY NAME: REASON", and for each
// directory a count, "DIRECTORY: N passed, M failed". It exits with 0 whatever the
// checks say; who runs it decides what may fail.
//
// `program --serve` answers what another process asks about files, see serve.
//
// It runs as root, on the host or in a container. It does not know where it is,
// and it expects nothing of one file system that it does not of all.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// A check looks at one thing; d is an empty directory of its own.
type check struct {
	name string
	run  func(d string)
}

var checks []check

// slow is what is worth a line of its own.
const slow = 5 * time.Second

func register(list ...check) { checks = append(checks, list...) }

func main() {
	if len(os.Args) > 2 && os.Args[1] == "--child" {
		child(os.Args[2], os.Args[3:])
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "--serve" {
		serve()
		return
	}
	unix.Umask(0o022)
	for _, dir := range os.Args[1:] {
		passed, failed := 0, 0
		for i, c := range checks {
			begin := time.Now()
			err := runOne(dir, i, c)
			if took := time.Since(begin); took > slow {
				fmt.Printf("slow %s %s: %v\n", dir, c.name, took)
			}
			if err != nil {
				failed++
				fmt.Printf("fail %s %q: %v\n", dir, c.name, err)
				continue
			}
			passed++
		}
		fmt.Printf("%s: %d passed, %d failed\n", dir, passed, failed)
	}
}

// failure is what a check that fails panics with.
type failure struct{ error }

func runOne(dir string, i int, c check) (err error) {
	d := filepath.Join(dir, fmt.Sprintf("check%d", i))
	if err := os.Mkdir(d, 0o777); err != nil {
		return err
	}
	if err := os.Chmod(d, 0o777); err != nil {
		return err
	}
	defer os.RemoveAll(d)
	return caught(func() { c.run(d) })
}

func caught(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			err = r.error
		default:
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	f()
	return nil
}

func fail(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

// ok fails the check if there is an error.
func ok(err error) {
	if err != nil {
		_, _, line, _ := runtime.Caller(1)
		fail("line %d: %w", line, err)
	}
}

// is fails the check if the error is not the wanted one.
func is(err error, want unix.Errno) {
	if !errors.Is(err, want) {
		_, _, line, _ := runtime.Caller(1)
		fail("line %d: %v, want %v", line, err, want)
	}
}

// equal fails the check if the values differ.
func equal[T comparable](what string, got, want T) {
	if got != want {
		_, _, line, _ := runtime.Caller(1)
		fail("line %d: %s is %v, want %v", line, what, got, want)
	}
}

// in joins paths.
func in(d string, names ...string) string { return filepath.Join(append([]string{d}, names...)...) }

// open opens a file that is closed at the latest when the check's process ends.
func open(path string, flags int, mode uint32) int {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, mode)
	if err != nil {
		_, _, line, _ := runtime.Caller(1)
		fail("line %d: open %s: %w", line, filepath.Base(path), err)
	}
	return fd
}

// shut closes descriptors.
func shut(fds ...int) {
	for _, fd := range fds {
		ok(unix.Close(fd))
	}
}

// put makes a file with a text in it.
func put(path, text string) string {
	ok(os.WriteFile(path, []byte(text), 0o644))
	return path
}

func text(path string) string {
	b, err := os.ReadFile(path)
	ok(err)
	return string(b)
}

func stat(path string) unix.Stat_t {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		_, _, line, _ := runtime.Caller(1)
		fail("line %d: stat %s: %w", line, filepath.Base(path), err)
	}
	return st
}

func fstat(fd int) unix.Stat_t {
	var st unix.Stat_t
	ok(unix.Fstat(fd, &st))
	return st
}

// openErr is the error of an open.
func openErr(path string, flags int, mode uint32) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, mode)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// user is somebody without privileges.
type user struct {
	uid, gid int
	groups   []uint32
}

var alice, bob = user{1000, 1000, []uint32{2000}}, user{1001, 1001, nil}

// as runs f as a user, on a thread that is thrown away. Credentials are a
// thread's; package syscall would change those of all.
func as(u user, f func()) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		done <- caught(func() {
			ok(rawGroups(u.groups))
			raw(unix.SYS_SETRESGID, u.gid)
			raw(unix.SYS_SETRESUID, u.uid)
			// A thread of its own has a umask of its own.
			ok(unix.Unshare(unix.CLONE_FS))
			unix.Umask(0o022)
			f()
		})
	}()
	if err := <-done; err != nil {
		panic(failure{fmt.Errorf("as user %d: %w", u.uid, err)})
	}
}

func raw(call uintptr, id int) {
	if _, _, e := unix.RawSyscall(call, uintptr(id), uintptr(id), uintptr(id)); e != 0 {
		fail("credentials: %w", e)
	}
}
