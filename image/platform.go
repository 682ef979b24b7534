package image

import (
	"fmt"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// machines maps what uname(1) says to Go's names, which images use.
var machines = map[string]string{"x86_64": "amd64", "aarch64": "arm64"}

func parsePlatform(s string) (v1.Platform, error) {
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || parts[1] == "" {
		return v1.Platform{}, fmt.Errorf("platform %q: want os/architecture[/variant], such as %s", s, DefaultPlatform)
	}
	p := v1.Platform{OS: parts[0], Architecture: parts[1]}
	if arch, ok := machines[p.Architecture]; ok {
		p.Architecture = arch
	}
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	return p, nil
}

// ParsePlatform reads "os/architecture[/variant]" and returns the architecture in
// Go's names. Error: another form, or another system than Linux.
func ParsePlatform(platform string) (arch string, err error) {
	p, err := parsePlatform(platform)
	if err == nil && p.OS != "linux" {
		err = fmt.Errorf("platform %q: the guest's system is linux", platform)
	}
	return p.Architecture, err
}

// fits is lenient where an image says nothing: hand-made ones often leave
// their platform out.
func fits(have, want v1.Platform) bool {
	same := func(have, want string) bool { return have == "" || want == "" || have == want }
	return same(have.OS, want.OS) && same(have.Architecture, want.Architecture) && same(have.Variant, want.Variant)
}

func platformString(p v1.Platform) string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}
