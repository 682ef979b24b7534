package proxy

import (
	"slices"

	"golang.org/x/sys/unix"
)

// standins are the host's processes that stand for those of exec.
func (o *owner) standins() []int {
	o.mu.Lock()
	defer o.mu.Unlock()
	var pids []int
	for name, p := range o.procs {
		if name != "" && p.standin > 0 {
			pids = append(pids, p.standin)
		}
	}
	slices.Sort(pids)
	return pids
}

// peer is the process that connected, 0 if the kernel does not say.
func (c *Conn) peer() int {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	err = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	if err != nil {
		return 0
	}
	return pid
}
