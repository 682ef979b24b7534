package vmtest

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/oci"
	"kata/vm"
)

// hotShares runs containers whose files come into a machine that runs already. They
// have a directory in common, which one of them may only read.
func (s *suite) hotShares(t *testing.T) {
	sb := s.boot(t, s.spec(t))
	defer time.AfterFunc(Patience, sb.Stop).Stop()
	if !s.caps.HotShares {
		if err := sb.AddShares([]vm.Share{{Name: "x", Source: t.TempDir()}}); !errors.Is(err, vm.ErrNoHotShares) {
			t.Errorf("the capability is not declared, but AddShare says %v", err)
		}
		return
	}
	dir, file := t.TempDir(), t.TempDir()+"/file"
	if err := os.WriteFile(file, []byte("from the host"), 0o640); err != nil {
		t.Fatal(err)
	}
	change := func(options ...string) func(*oci.Bundle) {
		return func(b *oci.Bundle) {
			b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/common", Source: dir, Type: "bind", Options: options},
				specs.Mount{Destination: "/single", Source: file, Type: "bind", Options: []string{"bind"}})
		}
	}
	writer := container(t, "writer", "cat /single; cat; echo from the guest >/common/new", change("rbind"))
	stdio, err := sb.Join(t.Context(), &writer.Request, writer.Shares)
	if err != nil {
		t.Fatal(err)
	}
	defer stdio.Close()
	if err := sb.Start(t.Context(), "writer"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // what was taken away may come back
		reader := container(t, "reader", "cat /single; if echo x >/common/wrong; then exit 3; fi", change("rbind", "ro"))
		out, err := sb.Join(t.Context(), &reader.Request, reader.Shares)
		if err != nil {
			t.Fatal(err)
		}
		_ = sb.Start(t.Context(), "reader") // Wait says it
		if status, _, err := sb.Wait("reader", ""); status != 0 || err != nil {
			t.Errorf("reader: status %d, %v", status, err)
		}
		out.Close()
		if err := sb.Remove(t.Context(), "reader"); err != nil {
			t.Error(err)
		}
		sb.RemoveShares(reader.Shares)
	}
	_ = stdio[0].CloseWrite()
	if text, err := io.ReadAll(stdio[1]); err != nil || string(text) != "from the host" {
		t.Errorf("writer printed %q, %v", text, err)
	}
	if status, _, err := sb.Wait("writer", ""); status != 0 || err != nil {
		t.Errorf("writer: status %d, %v", status, err)
	}
	if b, err := os.ReadFile(dir + "/new"); err != nil || string(b) != "from the guest\n" {
		t.Errorf("written by the guest: %q, %v", b, err)
	}
	if _, err := os.Stat(dir + "/wrong"); err == nil {
		t.Error("the guest wrote to a read-only share")
	}
	if err := sb.AddShares([]vm.Share{{Name: "good", Source: dir}, {Name: "bad", Source: "/no/such/file"}}); err == nil {
		t.Error("a share of a missing file was added")
	}
}
