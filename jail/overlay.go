package jail

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// mountOverlay makes a detached overlay file system with the options of mount(8),
// separated by commas, and returns its descriptor.
func mountOverlay(options string) (int, error) {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("overlay: %w", err)
	}
	defer unix.Close(fs)
	for option := range strings.SplitSeq(options, ",") {
		switch name, value, valued := strings.Cut(option, "="); {
		case valued:
			err = unix.FsconfigSetString(fs, name, value)
		case option != "":
			err = unix.FsconfigSetFlag(fs, option)
		}
		if err != nil {
			return -1, fmt.Errorf("overlay: option %q: %w%s", option, err, said(fs))
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("overlay: %w%s", err, said(fs))
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("overlay: %w", err)
	}
	return fd, nil
}

// said is what the kernel says about the last error with fs, after a separator.
func said(fs int) string {
	message := make([]byte, 4096)
	n, err := unix.Read(fs, message)
	if err != nil || n == 0 {
		return ""
	}
	return ": " + strings.TrimSpace(string(message[:n]))
}
