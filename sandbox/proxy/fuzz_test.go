package proxy

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// said is a connection whose peer says some bytes and hangs up.
func said(t *testing.T, data []byte) *Conn {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = c.(*net.UnixConn)
		t.Cleanup(func() { c.Close() })
	}
	go func() {
		_, _ = ends[1].Write(data)
		ends[1].Close()
	}()
	return NewConn(ends[0])
}

// FuzzReceive: a line is a request, a response or an error, and the bytes after it
// are standard I/O that is neither lost nor changed.
func FuzzReceive(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "{}\n", "{}", "null\n", "[]\nx", `{"op":"start"}` + "\nhello", `{"op":"stdio","fd":1,"exec":"x"}` + "\n\x00\xff\n",
		`{"op":"signal","signal":-9223372036854775808,"all":true}` + "\n", `{"op":"exec","process":{"args":["sh"],"user":{"uid":-1}}}` + "\n",
		`{"op":"join","create":{"id":"../x","joins":{"pid":"a"}}}` + "\n", `{"op":"resize","rows":4294967296}` + "\n",
		`{"error":{"code":127,"message":"a\nb"}}` + "\n", `{"exit":{"status":300}}` + "\n", `{"patience":1e9}` + "\n{}\n",
	} {
		f.Add([]byte(seed))
	}
	f.Add(append(bytes.Repeat([]byte(" "), 5000), "{}\nlater"...))
	f.Fuzz(func(t *testing.T, data []byte) {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		for _, v := range []any{&Request{}, &Response{}} {
			c := said(t, data)
			if err := c.receive(v); err != nil {
				if whole && json.Unmarshal(line, v) == nil {
					t.Fatalf("%q: %v", line, err)
				}
				continue
			}
			if _, err := json.Marshal(v); !whole || err != nil {
				t.Fatalf("%q is accepted: %+v, %v", line, v, err)
			}
			if got, err := io.ReadAll(struct{ io.Reader }{c}); err != nil || !bytes.Equal(got, rest) {
				t.Fatalf("after %q comes %q, want %q: %v", line, got, rest, err)
			}
		}
	})
}
