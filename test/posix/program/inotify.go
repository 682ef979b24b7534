package main

import (
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

var eventNames = []struct {
	mask uint32
	name string
}{
	{unix.IN_CREATE, "create"}, {unix.IN_DELETE, "delete"}, {unix.IN_MOVED_FROM, "moved_from"}, {unix.IN_MOVED_TO, "moved_to"},
	{unix.IN_MODIFY, "modify"}, {unix.IN_ATTRIB, "attrib"}, {unix.IN_CLOSE_WRITE, "close_write"},
	{unix.IN_DELETE_SELF, "delete_self"}, {unix.IN_MOVE_SELF, "move_self"}, {unix.IN_IGNORED, "ignored"},
}

// events are those that an inotify descriptor has, in words.
func events(fd int) string {
	var out []string
	buf := make([]byte, 64<<10)
	n, err := unix.Read(fd, buf)
	if err == unix.EAGAIN {
		return ""
	}
	ok(err)
	for at := 0; at < n; {
		e := (*unix.InotifyEvent)(unsafe.Pointer(&buf[at]))
		at += unix.SizeofInotifyEvent
		name := strings.TrimRight(string(buf[at:at+int(e.Len)]), "\x00")
		at += int(e.Len)
		for _, k := range eventNames {
			if e.Mask&k.mask != 0 {
				out = append(out, strings.TrimSpace(k.name+" "+name))
			}
		}
	}
	return strings.Join(out, ", ")
}
