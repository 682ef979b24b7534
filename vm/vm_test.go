package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"kata/check"
)

// fake is a driver that only probes.
type fake struct {
	name      string
	isolation Isolation
	err       error
}

func (f fake) Name() string { return f.name }

func (f fake) Probe(options map[string]string) (Capabilities, error) {
	if options["driver"] != f.name {
		return Capabilities{}, fmt.Errorf("%s was given the options of %q", f.name, options["driver"])
	}
	return Capabilities{Isolation: f.isolation, MaxVCPUs: 1}, f.err
}

func (fake) Start(context.Context, Spec) (Machine, error) { return nil, errors.ErrUnsupported }

func TestChoose(t *testing.T) {
	hard, soft, soft2 := fake{name: "hard", isolation: Hardware}, fake{name: "soft", isolation: Software}, fake{name: "soft2", isolation: Software}
	broken := fake{"hard", Hardware, &Unavailable{Driver: "hard", Kind: check.KVMAbsent, Cause: "no /dev/kvm", Remedy: "load the module", Err: fs.ErrNotExist}}
	dead := fake{"soft", Software, &Unavailable{Driver: "soft", Cause: "user namespaces are off"}}
	tests := []struct {
		name    string
		drivers []Driver
		ask     string
		minimum Isolation
		want    string   // driver
		errs    []string // parts of the error
	}{
		{"hardware first", []Driver{soft, hard}, Auto, Software, "hard", nil},
		{"order among software", []Driver{soft2, soft}, Auto, Software, "soft2", nil},
		{"hardware required and there", []Driver{soft, hard}, Auto, Hardware, "hard", nil},
		{"hardware required, not there", []Driver{broken, soft}, Auto, Hardware, "",
			[]string{"hardware isolation is required", "no /dev/kvm; load the module", `"soft"`, "--isolation=software"}},
		{"hardware broken, software allowed", []Driver{broken, soft}, Auto, Software, "soft", nil},
		{"named", []Driver{hard, soft}, "soft", Software, "soft", nil},
		{"named, too weak", []Driver{hard, soft}, "soft", Hardware, "", []string{"hardware isolation is required", `"soft"`}},
		{"named, unavailable", []Driver{broken, soft}, "hard", Software, "", []string{"hard: no /dev/kvm; load the module"}},
		{"unknown", []Driver{hard, soft}, "bhyve", Software, "", []string{`"bhyve" is unknown`, "auto, hard, soft"}},
		{"none works", []Driver{broken, dead}, Auto, Software, "", []string{"no hypervisor works", "no /dev/kvm", "user namespaces are off"}},
	}
	saved := registry
	defer func() { registry = saved }()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			registry = nil
			for _, d := range tt.drivers {
				Register(d)
			}
			d, caps, err := Choose(tt.ask, "", tt.minimum, func(name string) map[string]string { return map[string]string{"driver": name} })
			if tt.want == "" {
				if err == nil {
					t.Fatalf("chose %s", d.Name())
				}
				for _, part := range tt.errs {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("error %q lacks %q", err, part)
					}
				}
				if u, ok := errors.AsType[*Unavailable](err); ok && (u.Kind == check.KVMAbsent) != errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%+v in %v", u, err)
				} else if !ok && slices.Contains(tt.errs, "no /dev/kvm; load the module") {
					t.Errorf("the reason in %v is only text", err)
				}
				if IsIsolation(err) != strings.HasPrefix(err.Error(), "hardware isolation") {
					t.Errorf("IsIsolation(%v) = %v", err, IsIsolation(err))
				}
				return
			}
			if err != nil || d.Name() != tt.want || caps.MaxVCPUs != 1 {
				t.Errorf("%v, %+v, %v; want %s", d, caps, err, tt.want)
			}
		})
	}
}

// many is a driver with variants, which looks closer when asked.
type many struct{ fake }

func (many) Variants() []Variant {
	return []Variant{{"fast", map[string]string{"way": "fast"}}, {"slow", map[string]string{"way": "slow"}}}
}

func (many) Inspect(options map[string]string) error {
	if options["way"] == "fast" && options["driver"] == "many" {
		return &Unavailable{Driver: "many", Kind: check.ProgramOld, Cause: "it is old"}
	}
	return nil
}

func TestSurvey(t *testing.T) {
	saved := registry
	defer func() { registry = saved }()
	registry = []Driver{fake{name: "one", isolation: Software}, many{fake{name: "many", isolation: Hardware}}}
	var got []string
	for _, f := range Survey(func(name string) map[string]string { return map[string]string{"driver": name} }) {
		got = append(got, fmt.Sprint(f.Driver, " ", f.Variant, " ", f.Isolation, " ", f.Err))
	}
	want := []string{"one  software <nil>", "many fast hardware many: it is old", "many slow hardware <nil>"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestDriversIsACopy(t *testing.T) {
	saved := registry
	defer func() { registry = saved }()
	registry = []Driver{fake{name: "a"}}
	Drivers()[0] = fake{name: "b"}
	if registry[0].Name() != "a" {
		t.Error("the registry was changed from outside")
	}
}

func TestIsolation(t *testing.T) {
	for _, s := range []string{"hardware", "software"} {
		if i, err := ParseIsolation(s); err != nil || string(i) != s {
			t.Errorf("%q: %v, %v", s, i, err)
		}
	}
	for _, s := range []string{"", "Hardware", "none"} {
		if _, err := ParseIsolation(s); err == nil || !strings.Contains(err.Error(), `must be "hardware" or "software"`) {
			t.Errorf("%q: %v", s, err)
		}
	}
	if !Hardware.Satisfies(Software) || Software.Satisfies(Hardware) || !Software.Satisfies(Software) || Isolation("").Satisfies(Hardware) {
		t.Error("Satisfies is wrong")
	}
}

func TestBootError(t *testing.T) {
	cause := io.ErrUnexpectedEOF
	tests := []struct{ name, console, line, long string }{
		{"no console", "", "machine failed at the boot of the kernel: unexpected EOF", ""},
		{"last line", "one\ntwo\n\n", `machine failed at the boot of the kernel: unexpected EOF (console: "two")`, "\none\ntwo\n\n"},
		{"panic", "a\nKernel panic - not syncing: no init\nstack\n",
			`machine failed at the boot of the kernel: unexpected EOF (console: "Kernel panic - not syncing: no init")`, "\na\nKernel panic - not syncing: no init\nstack\n"},
	}
	for _, tt := range tests {
		e := &BootError{Phase: PhaseKernel, Cause: cause, Console: tt.console}
		for _, got := range []string{e.Error(), fmt.Sprintf("%v", e), fmt.Sprintf("%s", e)} { //nolint:staticcheck // the formats are the test
			if got != tt.line {
				t.Errorf("%s: %q, want %q", tt.name, got, tt.line)
			}
		}
		if got := fmt.Sprintf("%+v", e); got != tt.line+tt.long {
			t.Errorf("%s: %%+v is %q", tt.name, got)
		}
		if !errors.Is(fmt.Errorf("sandbox: %w", e), cause) {
			t.Error("the cause is lost")
		}
	}
}

func TestConsoleTail(t *testing.T) {
	numbered := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "line %d\n", i)
		}
		return b.String()
	}
	tests := []struct {
		name, in    string
		lines       int
		first, last string
	}{
		{"empty", "", 1, "", ""},
		{"short", "a\nb\n", 2, "a", "b"},
		{"last lines", numbered(100), tailLines, "line 80", "line 99"},
		{"control characters", "\x1b[31mred\x07\r\n\x7ftab\there\x00\n", 2, "[31mred", "tab\there"},
		{"invalid text", "\xff\xfeok\n", 1, "?ok", "?ok"},
		{"panic", numbered(50) + "Kernel panic - not syncing: x\n" + numbered(50), tailLines, "line 40", "line 8"},
		{"panic first", "Kernel panic\nend\n", 2, "Kernel panic", "end"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &ConsoleTail{}
			for _, b := range []byte(tt.in) { // however it arrives
				_, _ = c.Write([]byte{b})
			}
			lines := strings.Split(c.String(), "\n")
			if len(lines) != tt.lines || lines[0] != tt.first || lines[len(lines)-1] != tt.last {
				t.Errorf("%d lines from %q to %q", len(lines), lines[0], lines[len(lines)-1])
			}
		})
	}
}

func TestConsoleTailIsBounded(t *testing.T) {
	c := &ConsoleTail{}
	big := strings.Repeat("x", 3*tailBytes)
	for range 10 {
		if n, err := io.WriteString(c, big); n != len(big) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if len(c.buf) > tailBytes || len(c.String()) > tailBytes {
		t.Errorf("%d bytes are kept, allowed are %d", len(c.buf), tailBytes)
	}
}
