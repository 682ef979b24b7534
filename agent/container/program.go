package container

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// step is one system call of a program. Layout shared with program_$GOARCH.s.
type step struct {
	nr    uintptr
	args  [6]uintptr
	flags uintptr
}

const (
	mayFail = 1
	// forks is for a clone3 that is the last step: the process ends, and the new one
	// runs the program in the third argument, which clone3 does not look at.
	forks = 2
)

// program is what a cloned child runs in memory that it shares with the agent:
// it waits until released is set, then makes the steps one after the other. The
// last step must be an execve. Layout shared with program_$GOARCH.s.
type program struct {
	released uint32  // futex: set to 1 to let the child run
	tid      uint32  // futex: cleared by the kernel when the child execs or ends
	failed   uintptr // address of the step that failed
	errno    uintptr
	steps    [maxSteps]step
}

const maxSteps = 200

// cloneArgs is struct clone_args of clone3(2), version 2.
type cloneArgs struct {
	flags, pidfd, childTID uint64
	_                      uint64 // parent_tid
	exitSignal             uint64
	_                      [5]uint64 // stack, stack_size, tls, set_tid, set_tid_size
	cgroup                 uint64
}

//go:noescape
func cloneAndRun(args *cloneArgs, size uintptr, prog *program) (r uintptr)

// script builds a program. What its pointers refer to is kept alive with it.
type script struct {
	prog  *program
	n     int
	names [maxSteps]string
	keep  []any
	pidfd int32 // here, and not on a stack, which may move before the kernel writes it
}

func newScript() *script {
	s := &script{prog: &program{}}
	s.add("wait", mayFail, unix.SYS_FUTEX, uintptr(unsafe.Pointer(&s.prog.released)), futexWait, 0)
	return s
}

const (
	futexWait = 0
	futexWake = 1

	cloneClearSighand = 1 << 32
	cloneIntoCgroup   = 1 << 33
)

// add appends a system call; name is what an error calls it.
func (s *script) add(name string, flags, nr uintptr, args ...uintptr) {
	if s.n == maxSteps {
		panic("container: program too long")
	}
	st := &s.prog.steps[s.n]
	st.nr, st.flags = nr, flags
	copy(st.args[:], args)
	s.names[s.n] = name
	s.n++
}

// str returns the address of a zero-terminated copy of v.
func (s *script) str(v string) uintptr {
	b := append([]byte(v), 0)
	s.keep = append(s.keep, b)
	return uintptr(unsafe.Pointer(&b[0]))
}

// strs returns the address of a null-terminated array of strings.
func (s *script) strs(vs []string) uintptr {
	ptrs := make([]uintptr, len(vs)+1)
	for i, v := range vs {
		ptrs[i] = s.str(v)
	}
	s.keep = append(s.keep, ptrs)
	return uintptr(unsafe.Pointer(&ptrs[0]))
}

// mem keeps v and returns its address.
func mem[T any](s *script, v *T) uintptr {
	s.keep = append(s.keep, v)
	return uintptr(unsafe.Pointer(v))
}

// clone starts the child, which waits for release. flags are CLONE_NEW*;
// cgroup is a directory descriptor of cgroup v2. The caller must have locked its
// goroutine to the thread when it changed the thread's namespaces.
func (s *script) clone(flags uint64, cgroup int) (pid, pidfd int, err error) {
	args := s.cloneArgs(flags, cgroup)
	// The child inherits the signal mask: nothing may interrupt its steps.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, old unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^uint64(0)
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &old); err != nil {
		return 0, -1, err
	}
	r := cloneAndRun(args, unsafe.Sizeof(*args), s.prog)
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
	runtime.KeepAlive(args)
	if int(r) < 0 {
		return 0, -1, unix.Errno(-int(r))
	}
	return int(r), int(s.pidfd), nil
}

// cloneArgs are for a child that runs s.
func (s *script) cloneArgs(flags uint64, cgroup int) *cloneArgs {
	s.pidfd = -1
	s.prog.tid = ^uint32(0) // until the child's kernel side sets it: "not gone"
	args := &cloneArgs{
		flags: flags | unix.CLONE_VM | unix.CLONE_FILES | unix.CLONE_PIDFD |
			unix.CLONE_CHILD_CLEARTID | unix.CLONE_CHILD_SETTID | cloneClearSighand,
		pidfd:      uint64(uintptr(unsafe.Pointer(&s.pidfd))),
		childTID:   uint64(uintptr(unsafe.Pointer(&s.prog.tid))),
		exitSignal: uint64(unix.SIGCHLD),
	}
	if cgroup >= 0 {
		args.flags |= cloneIntoCgroup
		args.cgroup = uint64(cgroup)
	}
	return args
}

// stepError is a step that failed in the child.
type stepError struct {
	step string
	err  unix.Errno
}

func (e *stepError) Error() string { return fmt.Sprintf("%s: %v", e.step, e.err) }
func (e *stepError) Unwrap() error { return e.err }

// release lets the child run its program and waits until it has executed the
// command (nil) or has failed (a stepError, or errGone if it was killed; the
// caller learns the exit status from the reaper in any case).
func (s *script) release() error {
	p := s.prog
	atomic.StoreUint32(&p.released, 1)
	futex(&p.released, futexWake, 1)
	for {
		tid := atomic.LoadUint32(&p.tid)
		if tid == 0 {
			break
		}
		futex(&p.tid, futexWait, tid)
	}
	runtime.KeepAlive(s)
	if p.errno == 0 {
		return nil
	}
	i := (p.failed - uintptr(unsafe.Pointer(&p.steps[0]))) / unsafe.Sizeof(step{})
	return &stepError{s.names[i], unix.Errno(p.errno)}
}

func futex(addr *uint32, op int, val uint32) {
	// Errors are EAGAIN and EINTR: the callers look at the word again.
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), uintptr(op), uintptr(val), 0, 0, 0)
}
