// Package engines starts real engines on a stage of their own and uses them as
// people do, with kata-runtime as their runtime.
//
// It does not build the commands (make and make guest do), does not install the
// engines (hack/setup.sh engines does) and pulls no image: the one it needs is made
// of busybox. It needs root.
package engines

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kata/image"
	"kata/test/stage"
)

var (
	binDir    string // the built commands
	imageFile string // an OCI archive of busybox
	hostUname string // the release of the host's kernel
)

// wrapped is what engines run, and conf its configuration.
var wrapped struct{ runtime, conf string }

const busybox = "/bin/busybox"

func TestMain(m *testing.M) {
	os.Exit(stage.Main(func() int {
		if err := setUp(); err != nil {
			fmt.Fprintln(os.Stderr, "engines:", err)
			return 1
		}
		return m.Run()
	}))
}

func setUp() error {
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	binDir = filepath.Join(wd, "..", "..", "bin")
	for _, file := range []string{"kata-runtime", "kata-proxy", "kata-shim", "guest/kata-agent"} {
		if _, err := os.Stat(filepath.Join(binDir, file)); err != nil {
			return fmt.Errorf("%w; it comes from make or make guest", err)
		}
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	hostUname = unix.ByteSliceToString(u.Release[:])
	wrapped.runtime = filepath.Join(binDir, "kata-runtime")
	wrapped.conf = filepath.Join(stage.Dir(), "configuration.toml")
	// A slow host is no failure: the tests wait as long as it takes.
	if err := os.WriteFile(wrapped.conf, []byte("boot_timeout = \"1m\"\n"), 0o644); err != nil {
		return err
	}
	if err := os.Setenv("KATA_CONF_FILE", wrapped.conf); err != nil {
		return err
	}
	imageFile = filepath.Join(stage.Dir(), "busybox.tar")
	return makeImage(imageFile)
}

// makeImage packs busybox with a link for each of its commands.
func makeImage(file string) error {
	root := filepath.Join(stage.Dir(), "rootfs")
	for _, dir := range []string{"bin", "etc", "tmp", "root", "proc", "sys", "dev", "run", "var", "srv"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		return fmt.Errorf("%w; hack/setup.sh engines installs it", err)
	}
	own := filepath.Join(root, "bin/busybox")
	err = errors.Join(
		os.WriteFile(own, program, 0o755),
		os.Chmod(filepath.Join(root, "tmp"), 0o1777),
		os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n"), 0o644),
		os.WriteFile(filepath.Join(root, "etc/group"), []byte("root:x:0:\nuser:x:1000:\n"), 0o644))
	if err != nil {
		return err
	}
	// A read-only root takes no new files: what Podman mounts on must be there.
	for _, name := range []string{"etc/hosts", "etc/hostname", "etc/resolv.conf", "run/.containerenv"} {
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o644); err != nil {
			return err
		}
	}
	if out, err := exec.Command("chroot", root, "/bin/busybox", "--install", "-s", "/bin").CombinedOutput(); err != nil {
		return fmt.Errorf("install busybox: %w: %s", err, out)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return image.WriteOCIArchive(f, root, image.Config{Cmd: []string{"sh"}, Env: []string{"PATH=/bin"}})
}

// dial returns what a server says before it hangs up.
func dial(address string) (string, int) {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err.Error(), 1
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	said, err := io.ReadAll(io.LimitReader(c, 1<<16))
	if err != nil {
		return err.Error(), 1
	}
	return string(said), 0
}
