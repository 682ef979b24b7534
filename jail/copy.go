package jail

import (
	"errors"

	"golang.org/x/sys/unix"
)

// inMemory copies a file into one without a name, whose memory counts where this process'
// does, and closes it. Holes stay holes.
func inMemory(from int) (to int, err error) {
	defer unix.Close(from)
	var st unix.Stat_t
	if err := unix.Fstat(from, &st); err != nil {
		return 0, err
	}
	if to, err = unix.MemfdCreate("copy", unix.MFD_CLOEXEC); err != nil {
		return 0, err
	}
	if err = unix.Ftruncate(to, st.Size); err == nil {
		err = copyData(to, from)
	}
	if err != nil {
		unix.Close(to)
		return 0, err
	}
	return to, nil
}

// copyData copies what is no hole to the same place.
func copyData(to, from int) error {
	for end := int64(0); ; {
		begin, err := unix.Seek(from, end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // no more data
		} else if err != nil {
			return err
		}
		if end, err = unix.Seek(from, begin, unix.SEEK_HOLE); err != nil {
			return err
		}
		if _, err := unix.Seek(to, begin, unix.SEEK_SET); err != nil {
			return err
		}
		for begin < end {
			n, err := unix.Sendfile(to, from, &begin, int(end-begin))
			if err != nil {
				return err
			}
			if n == 0 {
				return unix.EIO // the file has become shorter
			}
		}
	}
}
