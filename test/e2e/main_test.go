// Package e2e runs the built commands as an engine does, with real machines, and
// looks at what comes out: output, exit codes, files, and what is left behind.
//
// It does not build anything (make and make guest do), does not call the packages
// that it tests, does not measure times (test/bench does), and does not depend on
// the host's configuration file. It needs root.
package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// paths that the tests share.
var (
	runtimeBin string // kata-runtime
	guestDir   string // kernel and agent
	emptyConf  string // the configuration in force unless a test brings its own
	templateFS string // a root filesystem of busybox, to copy
	// savedMachines is where machines that are saved go, if any are.
	savedMachines string
)

func TestMain(m *testing.M) {
	code, err := testMain(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func testMain(m *testing.M) (int, error) {
	if os.Geteuid() != 0 {
		return 0, fmt.Errorf("these tests make cgroups and namespaces: run them as root")
	}
	wd, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	bin := filepath.Join(wd, "..", "..", "bin")
	runtimeBin, guestDir = filepath.Join(bin, "kata-runtime"), filepath.Join(bin, "guest")
	for file, how := range map[string]string{
		runtimeBin:                       "make",
		filepath.Join(bin, "kata-proxy"): "make",
		filepath.Join(bin, "kata-shim"):  "make",
		agentFile():                      "make guest",
		kernelFile():                     "make guest",
		busybox:                          "hack/setup.sh test (or apt-get install busybox-static)",
	} {
		if _, err := os.Stat(file); err != nil {
			return 0, fmt.Errorf("%w; it comes from: %s", err, how)
		}
	}
	// Orphans become children of this process: whatever the commands leave running
	// is found, and the exit code of a shim can be read as an engine reads it.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("become a subreaper: %w", err)
	}
	tmp, err := os.MkdirTemp("", "kata-e2e")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(tmp)
	emptyConf, savedMachines = filepath.Join(tmp, "configuration.toml"), filepath.Join(tmp, "machines")
	// A slow host is no failure: the tests wait as long as it takes.
	if err := os.WriteFile(emptyConf, []byte(settings("boot_timeout = \"2m\"\n")), 0o644); err != nil {
		return 0, err
	}
	templateFS = filepath.Join(tmp, "rootfs")
	if err := makeTemplate(templateFS); err != nil {
		return 0, fmt.Errorf("root filesystem of busybox: %w", err)
	}
	return m.Run(), nil
}

func agentFile() string { return filepath.Join(guestDir, "kata-agent") }
