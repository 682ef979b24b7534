// Package initrd writes the initial root file system of a guest that is booted
// by firmware: a cpio archive in the format "newc" (the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst) with the agent as
// /init, the directories that it mounts on, and a console for its messages.
//
// The same agent gives the same bytes. The package does not compress, because an
// emulated CPU would pay for that at every boot, and it does not read archives.
package initrd

import (
	"fmt"
	"io"
	"strings"
)

// Parts of st_mode (stat(2)).
const (
	directory = 0o040000
	character = 0o020000
	regular   = 0o100000

	formatMask = 0o170000
)

// entry is one file of the archive; its owner is root.
type entry struct {
	name         string
	mode         uint32
	major, minor uint32 // of a device
	size         int64
}

// before is what comes before the agent. The kernel opens /dev/console as the
// standard I/O of /init before anything is mounted on /dev.
var before = []entry{
	{name: "dev", mode: directory | 0o755},
	{name: "dev/console", mode: character | 0o600, major: 5, minor: 1},
	{name: "proc", mode: directory | 0o755},
	{name: "run", mode: directory | 0o755},
	{name: "sys", mode: directory | 0o755},
	{name: "tmp", mode: directory | 0o1777},
}

const trailer = "TRAILER!!!"

// maxSize is what the format can say.
const maxSize = 1<<32 - 1

// Write writes the archive whose /init is the size bytes of agent.
func Write(w io.Writer, agent io.Reader, size int64) error {
	if size > maxSize {
		return fmt.Errorf("initrd: an agent of %d bytes is larger than the format allows", size)
	}
	a := &archive{w: w}
	for _, e := range before {
		a.header(e)
	}
	a.header(entry{name: "init", mode: regular | 0o755, size: size})
	a.content(agent, size)
	a.header(entry{name: trailer})
	if a.err != nil {
		return fmt.Errorf("initrd: %w", a.err)
	}
	return nil
}

// archive remembers the first error.
type archive struct {
	w     io.Writer
	inode uint32
	err   error
}

// header writes an entry's header and name, which end at a multiple of 4.
func (a *archive) header(e entry) {
	if e.name != trailer {
		a.inode++
	}
	links := 1
	if e.mode&formatMask == directory {
		links = 2
	}
	var b strings.Builder
	b.WriteString("070701")
	for _, field := range []uint32{a.inode, e.mode, 0, 0, uint32(links), 0, uint32(e.size), 0, 0, e.major, e.minor, uint32(len(e.name) + 1), 0} {
		fmt.Fprintf(&b, "%08X", field)
	}
	b.WriteString(e.name)
	b.WriteByte(0)
	a.write(b.String())
	a.pad(int64(b.Len()))
}

// content writes the bytes of a file, up to a multiple of 4.
func (a *archive) content(r io.Reader, size int64) {
	if a.err != nil {
		return
	}
	if _, a.err = io.CopyN(a.w, r, size); a.err == nil {
		a.pad(size)
	}
}

func (a *archive) pad(n int64) { a.write("\x00\x00\x00"[:(4-n%4)%4]) }

func (a *archive) write(s string) {
	if a.err == nil {
		_, a.err = io.WriteString(a.w, s)
	}
}
