package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kata/test/terminal"
)

// consoleSocket listens as an engine does; receive returns the terminal that comes.
func consoleSocket(t *testing.T) (path string, receive func() *terminal.Terminal) {
	t.Helper()
	path, l := engineSocket(t)
	return path, func() *terminal.Terminal {
		t.Helper()
		f, err := receiveFile(l)
		if err != nil {
			t.Fatal(err)
		}
		return terminal.New(t, f)
	}
}

// engineSocket is one that an engine listens on.
func engineSocket(t *testing.T) (path string, l *net.UnixListener) {
	t.Helper()
	dir, err := os.MkdirTemp("", "kc") // short: a socket's name has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path = filepath.Join(dir, "engine.sock")
	l, err = net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return path, l
}

func receiveFile(l *net.UnixListener) (*os.File, error) {
	if err := l.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	c, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4*4))
	_, n, _, _, err := c.ReadMsgUnix(buf, oob)
	if err != nil {
		return nil, err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return nil, err
	}
	if len(msgs) != 1 {
		return nil, fmt.Errorf("%d control messages", len(msgs))
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("%d descriptors: %w", len(fds), err)
	}
	return os.NewFile(uintptr(fds[0]), "console"), nil
}
