package seccomp

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of system calls again")

// The tables are the constants of golang.org/x/sys. A new version of it makes this
// test say so.
func TestTablesAreThoseOfTheLibrary(t *testing.T) {
	for _, table := range []string{"amd64", "386", "arm64", "arm"} {
		numbers := sysNumbers(t, table)
		if table == "arm" { // arch/arm/include/uapi/asm/unistd.h, __ARM_NR_BASE
			for i, name := range []string{"breakpoint", "cacheflush", "usr26", "usr32", "set_tls", "get_tls"} {
				numbers[name] = 0x0f0001 + i
			}
			delete(numbers, "syscall_mask") // no system call
		}
		names := slices.SortedFunc(maps.Keys(numbers), func(a, b string) int {
			return cmp.Or(cmp.Compare(numbers[a], numbers[b]), cmp.Compare(a, b))
		})
		var text strings.Builder
		for _, n := range names {
			fmt.Fprintf(&text, "%s %d\n", n, numbers[n])
		}
		file := filepath.Join("tables", table)
		if *update {
			if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if have, err := os.ReadFile(file); err != nil || string(have) != text.String() {
			t.Errorf("%s (%v) is not what the library says: go test ./sandbox/seccomp -update", file, err)
		}
	}
}

// sysNumbers reads the constants of golang.org/x/sys for an architecture.
func sysNumbers(t *testing.T, goarch string) map[string]int {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "unix", "zsysnum_linux_"+goarch+".go"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^\s+SYS_(\w+)\s+= (\d+)$`).FindAllStringSubmatch(string(src), -1) {
		nr, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		out[strings.ToLower(m[1])] = nr
	}
	return out
}

func TestNumbers(t *testing.T) {
	for _, want := range []struct {
		goarch, table string
		name          string
		nr            uint32
	}{
		{"amd64", "amd64", "openat2", 437}, {"amd64", "386", "socketcall", 102}, {"amd64", "amd64", "file_setattr", 469},
		{"arm64", "arm64", "newfstatat", 79}, {"arm64", "arm", "clone3", 435}, {"amd64", "amd64", "newfstatat", 262},
	} {
		for _, a := range arches[want.goarch] {
			if got := a.numbers()[want.name]; a.table == want.table && got != want.nr {
				t.Errorf("%s of %s is %d, want %d", want.name, want.table, got, want.nr)
			}
		}
	}
}
