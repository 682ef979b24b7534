package virtiofsd

import (
	"slices"
	"strings"
	"testing"
)

// TestVersions: which of the two a daemon is, by what it says; each has its own options.
func TestVersions(t *testing.T) {
	for text, want := range map[string]struct {
		version string
		qemus   bool
	}{
		"virtiofsd version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright (c) 2003-2022\nusing FUSE kernel interface version 7.36\n": {"7.2.22", true},
		"virtiofsd 1.13.2\n":        {"1.13.2", false},
		"virtiofsd backend 1.5.1\n": {"1.5.1", false},
		"imitator 1.0\n":            {},
		"virtiofsd of ours\n":       {},
		"":                          {},
	} {
		version, qemus := parseVersion([]byte(text))
		if version != want.version || qemus != want.qemus {
			t.Errorf("%q: %q, %v", text, version, qemus)
		}
		args := (&Program{qemus: qemus}).arguments()
		if qemus == slices.Contains(args, "--shared-dir="+sharePath) {
			t.Errorf("%q: %q", text, args)
		}
		if !strings.Contains(strings.Join(args, " "), "chroot") {
			t.Errorf("it does not leave its jail's root: %q", args)
		}
	}
}
