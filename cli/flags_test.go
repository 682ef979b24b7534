package cli

import (
	"slices"
	"testing"
)

func TestSplitShort(t *testing.T) {
	fs := newFlags("run")
	fs.Bool("i", false, "")
	fs.Bool("t", false, "")
	fs.Bool("rm", false, "")
	fs.String("e", "", "")
	for _, c := range []struct{ in, want []string }{
		{[]string{"-it", "img", "ls", "-it"}, []string{"-i", "-t", "img", "ls", "-it"}},
		{[]string{"-e", "-it", "-ti", "img"}, []string{"-e", "-it", "-t", "-i", "img"}},
		{[]string{"--rm", "-i", "img"}, []string{"--rm", "-i", "img"}},
		{[]string{"-e=x", "-it"}, []string{"-e=x", "-i", "-t"}},
		{[]string{"--", "-it"}, []string{"--", "-it"}},
		{nil, nil},
	} {
		if got := splitShort(fs, c.in, "it"); !slices.Equal(got, c.want) {
			t.Errorf("%q becomes %q, want %q", c.in, got, c.want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{"1": 1, "512k": 512 << 10, "64m": 64 << 20, "64MiB": 0, "2g": 2 << 30, "2Gi": 2 << 30,
		"": 0, "-1": 0, "m": 0, "1x": 0, "0": 0, "99999999999999g": 0, "1.5g": 0} {
		got, err := parseSize(in)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v; want %d", in, got, err, want)
		}
	}
}

func TestParseSignal(t *testing.T) {
	for in, want := range map[string]int{"9": 9, "KILL": 9, "SIGTERM": 15, "hup": 1, "64": 64, "65": 0, "-1": 0, "SIGNONE": 0} {
		got, err := parseSignal(in)
		if int(got) != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v; want %d", in, got, err, want)
		}
	}
}
