package jail

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestInMemory: a copy has what the file had, holes where it had holes, and is another file.
func TestInMemory(t *testing.T) {
	const size, at = 64 << 20, 5 << 20
	path := filepath.Join(t.TempDir(), "file")
	data := bytes.Repeat([]byte("copied"), 100_000)
	f, err := os.Create(path)
	if err == nil {
		_, err = f.WriteAt(data, at)
	}
	if err == nil {
		_, err = f.WriteAt(data[:10], 0)
	}
	if err == nil {
		err = f.Truncate(size)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	from, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	to, err := inMemory(from)
	if err != nil {
		t.Fatal(err)
	}
	c := os.NewFile(uintptr(to), "copy")
	defer c.Close()
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	is := make([]byte, size)
	if _, err := c.ReadAt(is, 0); err != nil || !bytes.Equal(is, was) {
		t.Errorf("the copy differs (%v)", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(to, &st); err != nil || st.Size != size || st.Blocks*512 > 2*int64(len(data)) {
		t.Errorf("the copy has %d bytes, %d of them stored (%v)", st.Size, st.Blocks*512, err)
	}
	if _, err := c.WriteAt([]byte("X"), at); err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil || b[0] != data[0] {
		t.Errorf("the file has %q after the copy was written (%v)", b, err)
	}
}
