// Package metrics says how much memory a set of processes really costs.
//
// PSS alone is not honest for virtual machines: guest memory is an unlinked file
// in memory, and its pages that nobody maps at the moment are in nobody's PSS but
// still allocated. So such files are counted once, by their allocated blocks, and
// everything else by PSS. Kernel memory (page tables, stacks, sockets) and page
// cache of files on disk that nobody maps are not counted, for any runtime.
package metrics

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Mapping is one entry of /proc/PID/smaps; sizes are in KiB.
type Mapping struct {
	// Range is the address range as the kernel prints it, the mapping's name in
	// /proc/PID/map_files up to leading zeros.
	Range string
	// Path is the mapped file or the kernel's label; empty for anonymous memory.
	Path string
	// Pss and Private are the proportional and the unshared resident sizes.
	Pss, Private int64
	// Anonymous is the part that is not the file's: private copies of its pages.
	Anonymous int64
}

// Unlinked reports whether the mapping is of a file without a name, such as a
// memfd or a removed file on tmpfs.
func (m Mapping) Unlinked() bool { return unlinked(m.Path) }

// unlinked reports whether a path as the kernel prints it has no name any more.
func unlinked(path string) bool {
	return strings.HasPrefix(path, "/") && strings.HasSuffix(path, " (deleted)")
}

// ParseSmaps reads the text of an smaps file.
func ParseSmaps(r io.Reader) ([]Mapping, error) {
	var all []Mapping
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		line := s.Text()
		if m, ok := header(line); ok {
			all = append(all, m)
			continue
		}
		name, rest, ok := strings.Cut(line, ":")
		if !ok || len(all) == 0 {
			return nil, fmt.Errorf("smaps: unexpected line %q", line)
		}
		m := &all[len(all)-1]
		switch name {
		case "Pss", "Private_Clean", "Private_Dirty", "Anonymous":
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("smaps: %q: %w", line, err)
			}
			switch name {
			case "Pss":
				m.Pss = kib
			case "Anonymous":
				m.Anonymous = kib
			default:
				m.Private += kib
			}
		}
	}
	return all, s.Err()
}

// header parses "START-END PERMS OFFSET DEV INODE [PATH]"; paths may have spaces.
func header(line string) (Mapping, bool) {
	span, rest, ok := strings.Cut(line, " ")
	low, high, dash := strings.Cut(span, "-")
	if !ok || !dash || !hex(low) || !hex(high) {
		return Mapping{}, false
	}
	for range 4 {
		_, rest, _ = strings.Cut(strings.TrimLeft(rest, " "), " ")
	}
	return Mapping{Range: span, Path: strings.TrimLeft(rest, " ")}, true
}

// hex reports whether s is a number in lower-case hexadecimal.
func hex(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdef") == ""
}
