package cli

import (
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// announcement is where an engine wants to learn which process of the host stands for
// a container's.
type announcement struct{ pidFile, pidfdSocket string }

func (a *announcement) register(fs *flag.FlagSet) {
	fs.StringVar(&a.pidFile, "pid-file", "", "file for the process id")
	fs.StringVar(&a.pidfdSocket, "pidfd-socket", "", "unix socket that receives a pidfd of the process")
}

// make tells everybody who wants to know. kind is what comes with the pidfd: runc says
// "standard" of a container's first process, and "setns" of another.
func (a *announcement) make(pid int, kind string) error {
	if a.pidFile != "" {
		if err := writePIDFile(a.pidFile, pid); err != nil {
			return err
		}
	}
	if a.pidfdSocket == "" {
		return nil
	}
	if err := sendPidfd(a.pidfdSocket, pid, kind); err != nil {
		return fmt.Errorf("--pidfd-socket: %w", err)
	}
	return nil
}

func sendPidfd(socket string, pid int, kind string) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("pidfd_open: %w", err)
	}
	defer unix.Close(fd)
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Net: "unix", Name: socket})
	if err != nil {
		return err
	}
	defer c.Close()
	_, _, err = c.WriteMsgUnix([]byte(kind), unix.UnixRights(fd), nil)
	return err
}

// writePIDFile puts the file in place in one step: engines watch for it.
func writePIDFile(file string, pid int) error {
	tmp := filepath.Join(filepath.Dir(file), "."+filepath.Base(file))
	if err := os.WriteFile(tmp, []byte(strconv.Itoa(pid)), 0o644); err != nil {
		return fmt.Errorf("--pid-file: %w", err)
	}
	if err := os.Rename(tmp, file); err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("--pid-file: %w", err)
	}
	return nil
}
