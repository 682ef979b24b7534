package vmtest

import (
	"crypto/sha256"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/agent/api"
	"kata/channel"
	"kata/oci"
	"kata/vm"
)

func (s *suite) probe(t *testing.T) {
	best := Patience
	for range 3 { // the fastest: a busy host is not the driver's fault
		begin := time.Now()
		caps, err := s.driver.Probe(s.files.Options)
		best = min(best, time.Since(begin))
		if err != nil || !reflect.DeepEqual(caps, s.caps) {
			t.Errorf("%+v, %v; it was %+v before", caps, err, s.caps)
		}
	}
	if best > time.Second {
		t.Errorf("takes %v, allowed is a second", best)
	}
	if _, err := vm.ParseIsolation(string(s.caps.Isolation)); err != nil {
		t.Error(err)
	}
	if s.caps.MaxVCPUs < 1 || s.caps.KernelFile == "" || s.caps.OverheadMiB <= 0 || s.driver.Name() == "" {
		t.Errorf("%q: %+v", s.driver.Name(), s.caps)
	}
}

// hello is the whole contract between a driver and what is above it.
func (s *suite) hello(t *testing.T) {
	m, err := s.driver.Start(t.Context(), s.spec(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { m.Kill(); <-m.Done() }()
	defer time.AfterFunc(Patience, m.Kill).Stop()
	session, err := channel.New(m.Channel(), channel.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	st, err := session.Open(channel.Header{Kind: channel.RPC, Name: "agent"})
	if err != nil {
		t.Fatal(err)
	}
	agent := api.Agent{Conn: api.NewConn(st)}
	got, err := agent.Hello(t.Context(), &api.HelloRequest{Version: api.Version})
	if err != nil {
		t.Fatal(err)
	}
	if got.Version != api.Version || got.KernelRelease == "" || got.RSSKiB == 0 {
		t.Errorf("%+v", got)
	}
	if _, err := agent.Hello(t.Context(), &api.HelloRequest{Version: api.Version + 1}); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("another version: %v", err)
	}
	if m.PID() <= 0 || m.GuestShare().Type == "" {
		t.Errorf("pid %d, share %+v", m.PID(), m.GuestShare())
	}
	select {
	case <-m.Done():
		t.Error("Done while it runs")
	default:
	}
}

func (s *suite) memory(t *testing.T) {
	for _, mib := range []int{96, 320} {
		spec := s.spec(t)
		spec.MemoryMiB = mib
		got := float64(s.boot(t, spec).Guest.MemoryKiB) / 1024
		if got < 0.78*float64(mib) || got > 1.2*float64(mib) {
			t.Errorf("asked for %d MiB, the guest has %.0f", mib, got)
		}
	}
}

func (s *suite) shares(t *testing.T) {
	rw, ro, file := t.TempDir(), t.TempDir(), t.TempDir()+"/file"
	for _, f := range []string{ro + "/file", file} {
		if err := os.WriteFile(f, []byte("from the host"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	c := container(t, "shares", `set -e; cat /ro/file /single; echo " seen"
		echo from the guest >/rw/new; if echo x >/ro/new; then exit 3; fi; echo y >/written`, func(b *oci.Bundle) {
		for _, m := range []specs.Mount{{Destination: "/rw", Source: rw}, {Destination: "/ro", Source: ro, Options: []string{"ro"}},
			{Destination: "/single", Source: file}} {
			m.Type, m.Options = "bind", append(m.Options, "rbind")
			b.Spec.Mounts = append(b.Spec.Mounts, m)
		}
	})
	spec := s.spec(t)
	spec.Shares = c.Shares
	if out := run(t, s.boot(t, spec), c); out != "from the hostfrom the host seen\n" {
		t.Errorf("output %q", out)
	}
	for f, want := range map[string]string{rw + "/new": "from the guest\n", c.Shares[0].Source + "/written": "y\n"} {
		if b, err := os.ReadFile(f); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", f, b, err)
		}
	}
	if _, err := os.Stat(ro + "/new"); err == nil {
		t.Error("the guest wrote to a read-only share")
	}
}

// separate runs two machines at once; each has its own random generator.
func (s *suite) separate(t *testing.T) {
	const script = `head -c 32 /dev/urandom | sha256sum; cat /proc/sys/kernel/random/boot_id`
	var out [2]string
	var pids [2]int
	for i := range out {
		c := container(t, "one", script, nil)
		spec := s.spec(t)
		spec.Name, spec.Shares = "vmtest"+strconv.Itoa(i), c.Shares
		sb := s.boot(t, spec)
		pids[i] = sb.MachinePID()
		out[i] = run(t, sb, c)
	}
	if pids[0] == pids[1] {
		t.Error("both machines are one process")
	}
	a, b := strings.Fields(out[0]), strings.Fields(out[1])
	if len(a) != 3 || len(b) != 3 || a[0] == b[0] || a[2] == b[2] {
		t.Errorf("random bytes and boot ids: %q and %q", a, b)
	}
}

func (s *suite) transfer(t *testing.T) {
	const size = 50 << 20
	c := container(t, "transfer", "cat", nil)
	spec := s.spec(t)
	spec.Shares = c.Shares
	sb := s.boot(t, spec)
	stdio := start(t, sb, c)
	defer time.AfterFunc(Patience, sb.Stop).Stop()
	var key [32]byte
	data := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(data)
	sent := make(chan error, 1)
	go func() {
		_, err := stdio[0].Write(data)
		_ = stdio[0].CloseWrite()
		sent <- err
	}()
	sum := sha256.New()
	if err := drain(sum, stdio[1]); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if [32]byte(sum.Sum(nil)) != sha256.Sum256(data) {
		t.Error("the bytes that came back differ")
	}
	if status, _, err := sb.Wait("transfer", ""); status != 0 || err != nil {
		t.Errorf("status %d, %v", status, err)
	}
}

func (s *suite) vcpus(t *testing.T) {
	if s.caps.MaxVCPUs == 1 {
		spec := s.spec(t)
		spec.VCPUs = 2
		s.bootError(t, s.options(spec), vm.PhasePrepare)
		return
	}
	c := container(t, "cpus", "nproc", nil)
	spec := s.spec(t)
	spec.VCPUs, spec.Shares = 2, c.Shares
	if out := run(t, s.boot(t, spec), c); out != "2\n" {
		t.Errorf("%q CPUs, want 2", out)
	}
}

func (s *suite) console(t *testing.T) {
	spec := s.spec(t)
	spec.Verbose = true
	loud := s.boot(t, spec)
	if !poll(func() bool { return strings.Count(loud.Console(), "\n") > 5 }) {
		t.Errorf("a verbose kernel prints %q", loud.Console())
	}
	if quiet := s.boot(t, s.spec(t)).Console(); strings.Count(quiet, "\n") > 5 {
		t.Errorf("a quiet kernel prints %q", quiet)
	}
}
