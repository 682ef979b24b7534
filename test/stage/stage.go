// Package stage gives a program a piece of the host for itself: its own processes,
// mounts, network, IPC and cgroups. Engines, daemons and validation suites run
// there as on a host of their own, and what they leave behind is found.
//
// It is not a container: the files are the host's (/run, /etc and what Dir names
// are private), and so are its user ids and devices. Nothing in it reaches another
// network: there is a loopback interface and what the program makes.
package stage

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// step is the variable that tells this program, executed again, what it is.
const step = "KATA_STAGE_STEP"

// dirVar names the directory that the stage's programs may fill.
const dirVar = "KATA_STAGE_DIR"

// Dir is an empty directory on the host's disk that is removed with the stage.
func Dir() string { return os.Getenv(dirVar) }

// Main runs f on a stage and returns the exit code for this program: f's, or 1 if
// the stage could not be made or something was left on it. The program executes
// itself to get there, so call it first in main or TestMain.
func Main(f func() int) int {
	var code int
	var err error
	switch os.Getenv(step) {
	case "":
		code, err = outside()
	case "init":
		code, err = inside()
	default:
		os.Unsetenv(step)
		return f()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stage:", err)
		return 1
	}
	return code
}

// outside makes what outlives the namespaces, and removes it afterwards.
func outside() (code int, err error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("namespaces and cgroups are root's to make: run this as root")
	}
	dir, err := os.MkdirTemp("/var/tmp", "kata-stage-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	groups, err := makeCgroups(fmt.Sprintf("kata-stage-%d", os.Getpid()))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, groups.remove()) }()

	cmd := again("init", dir)
	cmd.Env = append(cmd.Env, cgroupVar+"="+strings.Join(groups, ":"))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		Pdeathsig:  unix.SIGKILL,
	}
	// Whoever interrupts this program ends the stage, and it is still cleaned up.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGHUP)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("make the namespaces: %w", err)
	}
	go func() {
		<-interrupted
		_ = cmd.Process.Kill()
	}()
	return exitCode(cmd.Wait())
}

// inside is PID 1 of the stage: it furnishes it, starts the program proper, reaps
// whatever becomes its child, and looks around when the program has ended.
func inside() (int, error) {
	// The cgroup namespace is this thread's alone: mounts and the program need it.
	runtime.LockOSThread()
	if err := enterCgroups(strings.Split(os.Getenv(cgroupVar), ":")); err != nil {
		return 0, err
	}
	if err := mountAll(Dir()); err != nil {
		return 0, err
	}
	if err := run("ip", "link", "set", "lo", "up"); err != nil {
		return 0, err
	}
	before, err := inventory()
	if err != nil {
		return 0, err
	}
	cmd := again("program", Dir())
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	code, err := reapUntil(cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	if err := lookAround(before); err != nil {
		return 0, err
	}
	return code, nil
}

// again prepares this program with its arguments and streams as the given step.
func again(name, dir string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), step+"="+name, dirVar+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
}

func exitCode(err error) (int, error) {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// reapUntil collects children until the one called main has ended.
func reapUntil(main int) (int, error) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for the program: %w", err)
		case pid == main && status.Signaled():
			return 0, fmt.Errorf("the program was ended by signal %v", status.Signal())
		case pid == main:
			return status.ExitStatus(), nil
		}
	}
}

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
