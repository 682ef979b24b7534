package state

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lastThread is set for a process whose first thread ends, and another some time later,
// which writes the file of that name.
const lastThread = "KATA_TEST_LAST_THREAD"

func init() {
	name := os.Getenv(lastThread)
	if name == "" {
		return
	}
	go func() {
		time.Sleep(300 * time.Millisecond)
		_ = os.WriteFile(name, nil, 0o600) // without it the test fails
		os.Exit(0)
	}()
	_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
}

// TestEndWaitsForThreads: what a process has, it has until its last thread is gone.
func TestEndWaitsForThreads(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), lastThread+"="+file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := Identify(cmd.Process.Pid)
	for p.Alive() {
		time.Sleep(time.Millisecond)
	}
	p.End(time.Minute)
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the process has not been waited for: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
