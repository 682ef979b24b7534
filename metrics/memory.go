package metrics

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Usage is what a set of processes costs, in KiB.
type Usage struct {
	// Processes is their number.
	Processes int `json:"processes"`
	// Pss and Private are the sums over all their mappings.
	Pss     int64 `json:"pss_kib"`
	Private int64 `json:"private_kib"`
	// Own is the part of Private that is in no file: what the processes have written.
	Own int64 `json:"own_kib"`
	// MemoryFiles is the allocated size of the unlinked files in memory that they
	// map or hold open, each counted once.
	MemoryFiles int64 `json:"memory_files_kib"`
	// Total is the PSS of all other mappings plus MemoryFiles.
	Total int64 `json:"total_kib"`
}

// inode identifies a file.
type inode struct{ dev, ino uint64 }

// Measure sums over pids. A process that ends meanwhile is left out; to read other
// users' processes takes root.
func Measure(pids []int) (Usage, error) {
	var u Usage
	files := map[inode]int64{}
	for _, pid := range pids {
		err := u.add(filepath.Join("/proc", strconv.Itoa(pid)), files)
		if err != nil && !gone(err) {
			return u, fmt.Errorf("memory of process %d: %w", pid, err)
		}
	}
	for _, kib := range files {
		u.MemoryFiles += kib
	}
	u.Total += u.MemoryFiles
	return u, nil
}

// gone reports whether err says that the process ended.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
}

// add counts the process with the given directory in /proc.
func (u *Usage) add(dir string, files map[inode]int64) error {
	f, err := os.Open(filepath.Join(dir, "smaps"))
	if err != nil {
		return err
	}
	defer f.Close()
	maps, err := ParseSmaps(f)
	if err != nil {
		return err
	}
	u.Processes++
	for _, m := range maps {
		u.Pss += m.Pss
		u.Private += m.Private
		u.Own += min(m.Private, m.Anonymous)
		if m.Unlinked() && note(filepath.Join(dir, "map_files", mapName(m.Range)), files) {
			// Copies that a private mapping made are not in the file.
			u.Total += min(m.Pss, m.Anonymous)
		} else {
			u.Total += m.Pss
		}
	}
	return openFiles(filepath.Join(dir, "fd"), files)
}

// openFiles notes the files in memory that are open, whether mapped or not.
func openFiles(dir string, files map[inode]int64) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if target, err := os.Readlink(path); err == nil && unlinked(target) {
			note(path, files)
		}
	}
	return nil
}

// note records the allocated size of the file behind a link in /proc if it is a
// regular file in memory, and reports whether it is one.
func note(link string, files map[inode]int64) bool {
	var fsinfo unix.Statfs_t
	var st unix.Stat_t
	if unix.Statfs(link, &fsinfo) != nil || unix.Stat(link, &st) != nil {
		return false
	}
	memory := fsinfo.Type == unix.TMPFS_MAGIC || fsinfo.Type == unix.HUGETLBFS_MAGIC
	if !memory || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false
	}
	files[inode{st.Dev, st.Ino}] = st.Blocks / 2 // blocks of 512 bytes
	return true
}

// mapName turns a range of smaps into its name in map_files, which has no
// leading zeros.
func mapName(span string) string {
	low, high, _ := strings.Cut(span, "-")
	trim := func(s string) string {
		if s = strings.TrimLeft(s, "0"); s == "" {
			return "0"
		}
		return s
	}
	return trim(low) + "-" + trim(high)
}

// Tree returns roots, those that exist, and all their descendants, sorted.
func Tree(roots []int) []int {
	children := map[int][]int{}
	for _, pid := range processes() {
		if parent, ok := parentOf(pid); ok {
			children[parent] = append(children[parent], pid)
		}
	}
	seen := map[int]bool{}
	todo := slices.Clone(roots)
	for len(todo) > 0 {
		pid := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if _, exists := parentOf(pid); !exists || pid <= 1 || seen[pid] {
			continue
		}
		seen[pid] = true
		todo = append(todo, children[pid]...)
	}
	var all []int
	for pid := range seen {
		all = append(all, pid)
	}
	slices.Sort(all)
	return all
}

// Mentioning returns the processes with text in an argument, without this one. A
// monitor whose parent ended is no descendant of anything, but names its container.
func Mentioning(text string) []int {
	var all []int
	for _, pid := range processes() {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && pid != os.Getpid() && strings.Contains(string(line), text) {
			all = append(all, pid)
		}
	}
	return all
}

// processes lists the process ids in /proc.
func processes() []int {
	entries, _ := os.ReadDir("/proc")
	var all []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// parentOf reads a process' parent.
func parentOf(pid int) (int, bool) {
	fields := statFields(pid)
	if len(fields) < 2 {
		return 0, false
	}
	parent, err := strconv.Atoi(fields[1])
	return parent, err == nil
}

// StartTime returns when a process started, in clock ticks since boot as text,
// and "" if there is none: with the pid it names one process for ever.
func StartTime(pid int) string {
	fields := statFields(pid)
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	return fields[19]
}

// statFields returns the fields of a stat line from the state on.
func statFields(pid int) []string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return parseStat(string(data))
}

// parseStat skips the pid and the name, which is in parentheses and may itself
// hold blanks and parentheses.
func parseStat(stat string) []string {
	i := strings.LastIndexByte(stat, ')')
	if i < 0 {
		return nil
	}
	return strings.Fields(stat[i+1:])
}
