package container

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"kata/agent/api"
)

// FuzzStdio: what the host sends is what a process reads, and what it writes, in
// pieces of any size, is what the host gets.
func FuzzStdio(f *testing.F) {
	f.Add([]byte(nil), []byte("out"), []byte("err"), uint16(1))
	f.Add([]byte("in\x00\xff\n"), []byte(nil), []byte(nil), uint16(0))
	f.Add(bytes.Repeat([]byte("long "), 40000), bytes.Repeat([]byte("x"), 200000), []byte("\x04\x03"), uint16(4096))
	f.Fuzz(func(t *testing.T, in, out, errs []byte, piece uint16) {
		streams := []*stream{{in: bytes.NewReader(in)}, {}, {}}
		s := opened(t, &api.Process{Stdin: true, SeparateStderr: true}, streams...)
		var got []byte
		buf := make([]byte, int(piece)+1)
		for {
			n, err := unix.Read(s.child[0], buf)
			if n <= 0 || err != nil {
				break
			}
			got = append(got, buf[:n]...)
		}
		for fd, data := range map[int][]byte{1: out, 2: errs} {
			for part := range bytes.Lines(data) {
				for len(part) > 0 {
					n := min(len(part), int(piece)+1)
					write(t, s.child[fd], string(part[:n]))
					part = part[n:]
				}
			}
		}
		s.started()
		finished(t, s)
		if !bytes.Equal(got, in) {
			t.Errorf("the process read %q, want %q", got, in)
		}
		streams[1].check(t, string(out))
		streams[2].check(t, string(errs))
	})
}
