package cli

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"kata/sandbox/shim"
	"kata/sandbox/state"
)

func (c *createFlags) registerPreserve(fs *flag.FlagSet) {
	fs.UintVar(&c.preserve, "preserve-fds", 0, "number of descriptors, from 3 on, that the process gets as well; pipes and connected stream sockets")
}

// descriptors are those of --preserve-fds. runc passes those of systemd's socket
// activation (sd_listen_fds(3)) before them: the host's listening sockets, which a
// guest cannot have.
func (c *createFlags) descriptors() ([]shim.Descriptor, error) {
	if n := os.Getenv("LISTEN_FDS"); n != "" && n != "0" && os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) {
		return nil, fmt.Errorf("LISTEN_FDS=%s: sockets that the host listens on cannot be passed into a virtual machine", n)
	}
	const first = 3
	more, err := shim.Inherited(first, int(min(c.preserve, 1<<16)))
	if err != nil {
		return nil, fmt.Errorf("--preserve-fds %d: %w", c.preserve, err)
	}
	return more, nil
}

// shimOptions are for a process that stands for a container's process.
type shimOptions struct {
	exec          string // empty for the container's first process
	terminal      bool
	consoleSocket string
	more          []shim.Descriptor
	ns            *namespaces
}

// startShim starts the process that stands for a container's process.
func (a *app) startShim(dir state.Dir, id string, o shimOptions) (int, error) {
	exe, err := helper("kata-shim")
	if err != nil {
		return 0, err
	}
	if o.consoleSocket != "" {
		if o.consoleSocket, err = filepath.Abs(o.consoleSocket); err != nil {
			return 0, err
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	args := []string{"kata-shim", "--root", a.root, "--id", id, "--exec", o.exec, "--console-socket", o.consoleSocket, "--descriptors", strconv.Itoa(len(o.more))}
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr, w}
	for _, d := range o.more {
		files = append(files, d.File)
	}
	if o.terminal {
		args = append(args, "--terminal")
		// Whoever reads this command's output to its end, as containerd does, must not wait for the process.
		files[0], files[1], files[2] = devNull(), devNull(), devNull()
	}
	proc, err := o.ns.start(exe, args, &os.ProcAttr{
		Dir: "/", Env: environment(), Files: files,
		Sys: &syscall.SysProcAttr{Setsid: true}})
	w.Close()
	if err != nil {
		return 0, fmt.Errorf("start kata-shim: %w", err)
	}
	defer func() { _ = proc.Release() }()
	buf := make([]byte, 4096)
	n, err := r.Read(buf)
	if msg := strings.TrimSpace(string(buf[:n])); msg != "" || err != nil {
		_ = proc.Kill()
		_, _ = proc.Wait()
		if msg == "" {
			msg = "ended early"
		}
		return 0, fmt.Errorf("kata-shim: %s", msg)
	}
	return proc.Pid, nil
}
