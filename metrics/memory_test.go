package metrics

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const sample = `00400000-00401000 r-xp 00000000 fe:00 123                                /bin/with space
Size:                  4 kB
Rss:                   4 kB
Pss:                   2 kB
Pss_Dirty:             1 kB
Private_Clean:         0 kB
Private_Dirty:         0 kB
VmFlags: rd ex mr mw me
7f0000000000-7f0000100000 rw-s 00000000 00:01 5                          /memfd:guest (deleted)
Pss:                 100 kB
Private_Clean:        10 kB
Private_Dirty:        20 kB
7f0000200000-7f0000201000 rw-p 00000000 00:00 0 
Pss:                   4 kB
Private_Dirty:         4 kB
Anonymous:             4 kB
`

func TestParseSmaps(t *testing.T) {
	got, err := ParseSmaps(strings.NewReader(sample))
	if err != nil {
		t.Fatal(err)
	}
	want := []Mapping{
		{"00400000-00401000", "/bin/with space", 2, 0, 0},
		{"7f0000000000-7f0000100000", "/memfd:guest (deleted)", 100, 30, 0},
		{"7f0000200000-7f0000201000", "", 4, 4, 4},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
	if got[0].Unlinked() || !got[1].Unlinked() || got[2].Unlinked() {
		t.Error("Unlinked is wrong")
	}
	if mapName(got[0].Range) != "400000-401000" {
		t.Errorf("map name %s", mapName(got[0].Range))
	}
	for _, bad := range []string{"Pss: 1 kB\n", "00-10 r 0 0 0\nPss: x kB\n", "nonsense\n"} {
		if _, err := ParseSmaps(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestParseStat(t *testing.T) {
	if got := parseStat("12 (a) b) S 7 12 12"); !slices.Equal(got, []string{"S", "7", "12", "12"}) {
		t.Errorf("got %q", got)
	}
	if got := parseStat("12 a S"); got != nil {
		t.Errorf("nonsense gave %q", got)
	}
	if me := StartTime(os.Getpid()); me == "" || me != StartTime(os.Getpid()) || StartTime(1<<30) != "" {
		t.Errorf("start time %q", me)
	}
}

// TestMemoryFile: pages of an unlinked file count although nobody maps them.
func TestMemoryFile(t *testing.T) {
	before, err := Measure([]int{os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.MemfdCreate("procmem-test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	const size = 8 << 20
	if _, err := unix.Write(fd, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		u, err := Measure([]int{os.Getpid()})
		if err != nil {
			t.Fatal(err)
		}
		if got := u.MemoryFiles - before.MemoryFiles; got != size/1024 {
			t.Errorf("%s: files %d KiB, want %d", when, got, size/1024)
		}
		if u.Processes != 1 || u.Total < u.MemoryFiles {
			t.Errorf("%s: %+v", when, u)
		}
	}
	check("open only")
	m, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(m)
	m[0] = 1
	check("open and mapped")
}

func TestTree(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sleep 60 & echo ready; wait # procmem-test-marker")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	tree := Tree([]int{cmd.Process.Pid, 1 << 30})
	if len(tree) != 2 || !slices.Contains(tree, cmd.Process.Pid) {
		t.Errorf("tree %v", tree)
	}
	if got := Mentioning("procmem-test-marker"); !slices.Contains(got, cmd.Process.Pid) {
		t.Errorf("mentioning: %v", got)
	}
	if u, err := Measure(tree); err != nil || u.Processes != 2 || u.Pss == 0 {
		t.Errorf("usage %+v, %v", u, err)
	}
	if u, err := Measure([]int{1 << 30}); err != nil || u.Processes != 0 {
		t.Errorf("a process that is gone: %+v, %v", u, err)
	}
}
