package container

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// skipIfEmulated skips a test if err is a system call that the user-mode emulator
// which runs this program does not know. It must be one: QEMU hides itself in
// /proc/self, and not in the same directory by its other name.
func skipIfEmulated(t *testing.T, err error) {
	t.Helper()
	program, _ := os.Readlink("/proc/thread-self/exe")
	if errors.Is(err, unix.ENOSYS) && strings.HasPrefix(filepath.Base(program), "qemu-") {
		t.Skipf("%s lacks a system call that this needs: %v", program, err)
	}
}
