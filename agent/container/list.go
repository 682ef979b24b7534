package container

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// Processes lists what runs in the container, by the guest's process ids.
func (c *Container) Processes() *api.ProcessesResponse {
	resp := &api.ProcessesResponse{}
	for _, pid := range c.cgroup.pids() {
		if info, err := processInfo(pid); err == nil { // one that just ended is no error
			resp.Processes = append(resp.Processes, info)
		}
	}
	return resp
}

// processInfo reads proc(5)'s stat and cmdline.
func processInfo(pid int) (api.ProcessInfo, error) {
	info := api.ProcessInfo{PID: uint32(pid)}
	dir := fmt.Sprintf("/proc/%d/", pid)
	b, err := os.ReadFile(dir + "stat")
	if err != nil {
		return info, err
	}
	stat := string(b)
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return info, fmt.Errorf("%sstat: %q", dir, stat)
	}
	var state string
	var skip, utime, stime, start uint64
	var ppid, pgrp, sess, tty, tpgid, cutime, cstime, prio, nice, threads, itreal int64
	if _, err := fmt.Sscan(stat[end+1:], &state, &ppid, &pgrp, &sess, &tty, &tpgid, &skip, &skip, &skip, &skip, &skip,
		&utime, &stime, &cutime, &cstime, &prio, &nice, &threads, &itreal, &start); err != nil {
		return info, err
	}
	info.PPID, info.CPUTick, info.TTY = uint32(ppid), utime+stime, uint32(tty)
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return info, err
	}
	info.Age = uint64(now.Nano())/1e7 - start
	cmd, err := os.ReadFile(dir + "cmdline")
	if err != nil {
		return info, err
	}
	info.Command = strings.TrimSpace(strings.ReplaceAll(string(cmd), "\x00", " "))
	if info.Command == "" {
		info.Command = "[" + stat[open+1:end] + "]"
	}
	if st, err := os.Stat(dir); err == nil {
		info.UID = uidOf(st)
	}
	return info, nil
}

func uidOf(fi os.FileInfo) uint32 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return st.Uid
	}
	return 0
}
