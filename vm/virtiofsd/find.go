package virtiofsd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"kata/check"
	"kata/vm/loader"
)

// Places are where distributions have it, the newer one first. Tests put others there.
var Places = []string{"/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", "/usr/local/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "/usr/libexec/qemu/virtiofsd"}

// Program is a daemon of this host that works.
type Program struct {
	Path    string
	Version string
	// qemus is QEMU's own, in C; the other one took its place and has other options.
	qemus     bool
	libraries []string
}

const remedy = "install it (Debian: virtiofsd; in Debian 12 qemu-system-common), or share = \"9p\" in [qemu]"

// Find returns the first that works. Error: check.Reason.
func Find() (*Program, error) {
	var broken *check.Reason
	for _, path := range Places {
		fi, err := os.Stat(path)
		if err != nil || !fi.Mode().IsRegular() || fi.Mode()&0o111 == 0 {
			continue
		}
		p, err := examine(path)
		if err == nil {
			return p, nil
		}
		if broken == nil {
			broken = &check.Reason{Kind: check.ProgramBroken, Cause: err.Error(), Remedy: remedy, Err: err}
		}
	}
	if broken != nil {
		return nil, broken
	}
	return nil, &check.Reason{Kind: check.ProgramAbsent, Cause: "virtiofsd is none of " + strings.Join(Places, ", "), Remedy: remedy}
}

// limit bounds what takes some milliseconds.
const limit = 5 * time.Second

// said is how each of them says its version.
var said = regexp.MustCompile(`^virtiofsd (version |backend )?(\d+\.\d+[.\d]*)`)

// examine has a program say what it is, which only one does that can run here.
func examine(path string) (*Program, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env, cmd.Dir, cmd.WaitDelay = []string{}, "/", time.Second
	out, err := cmd.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok && len(failed.Stderr) > 0 {
		err = fmt.Errorf("%w: %s", err, strings.Join(strings.Fields(string(failed.Stderr)), " "))
	}
	if err != nil {
		return nil, fmt.Errorf("%s --version: %w", path, err)
	}
	p := &Program{Path: path}
	if p.Version, p.qemus = parseVersion(out); p.Version == "" {
		return nil, fmt.Errorf("%s is no virtiofsd: it does not say its version", path)
	}
	if p.libraries, err = loader.Libraries(path); err != nil {
		return nil, fmt.Errorf("%s: its libraries: %w", path, err)
	}
	return p, nil
}

// parseVersion reads a daemon's version from what it says, and whether it is QEMU's; ""
// is no daemon's.
func parseVersion(text []byte) (version string, qemus bool) {
	m := said.FindSubmatch(text)
	if m == nil {
		return "", false
	}
	return string(m[2]), string(m[1]) == "version "
}

// arguments are the daemon's. It makes the shares its root, which is all of its sandbox
// that the jail has not made already, and installs its own filter of system calls. Names
// are asked for each time: the host and other containers change them, and what the guest
// does not use any more it forgets, so that it is open here no longer. The newer daemon can
// do that only without the guest's cache for pages. What is mounted below the share is of
// another device in the guest, too.
func (p *Program) arguments() []string {
	args := []string{fmt.Sprintf("--fd=%d", listenerFD), "--rlimit-nofile=0"}
	if p.qemus {
		return append(args, "-f", "-o", "source="+sharePath+",sandbox=chroot,modcaps=-mknod,cache=auto,timeout=0,xattr,posix_acl,announce_submounts,log_level=warn")
	}
	return append(args, "--shared-dir="+sharePath, "--sandbox=chroot", "--modcaps=-mknod", "--cache=never", "--allow-mmap",
		"--xattr", "--posix-acl", "--announce-submounts", "--log-level=warn")
}
