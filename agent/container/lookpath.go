package container

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// lookPath finds the command in the calling thread's root, as execvp(3) does,
// and says as runc does why there is none. The result is absolute or relative to
// cwd.
func lookPath(p *api.Process) (string, error) {
	if len(p.Args) == 0 || p.Args[0] == "" {
		return "", &api.Error{Code: api.CodeInvalid, Message: "process.args: no command"}
	}
	name := p.Args[0]
	if strings.Contains(name, "/") {
		if err := executable(p.Cwd, name); err != nil {
			return "", noCommand(name, err)
		}
		return name, nil
	}
	found := error(unix.ENOENT)
	for _, dir := range strings.Split(env(p.Env, "PATH"), ":") {
		if dir == "" {
			dir = "."
		}
		full := path.Join(dir, name)
		if !strings.Contains(full, "/") {
			full = "./" + full
		}
		err := executable(p.Cwd, full)
		if err == nil {
			return full, nil
		}
		if errors.Is(err, unix.EACCES) {
			found = err
		}
	}
	if errors.Is(found, unix.ENOENT) {
		return "", &api.Error{Code: api.CodeNoCommand, Message: fmt.Sprintf("exec: %q: executable file not found in $PATH", name)}
	}
	return "", noCommand(name, found)
}

func noCommand(name string, err error) error {
	code := api.CodeNotExecutable
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		code = api.CodeNoCommand
		return &api.Error{Code: code, Message: fmt.Sprintf("exec: %q: stat %s: %v", name, name, err)}
	}
	if errors.Is(err, unix.EISDIR) {
		return &api.Error{Code: code, Message: fmt.Sprintf("exec: %q: is a directory: permission denied", name)}
	}
	return &api.Error{Code: code, Message: fmt.Sprintf("exec: %q: permission denied", name)}
}

// executable says whether anybody may execute the file: the agent is root, so
// access(2) would be satisfied with less than a container's user needs.
func executable(cwd, name string) error {
	if !path.IsAbs(name) {
		name = path.Join("/", cwd, name)
	}
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return unix.EISDIR
	}
	if st.Mode&0o111 == 0 {
		return unix.EACCES
	}
	return nil
}

func env(list []string, key string) string {
	for i := len(list) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(list[i], key+"="); ok {
			return v
		}
	}
	return ""
}
