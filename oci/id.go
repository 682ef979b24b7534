package oci

import "fmt"

// MaxIDLen is the longest container id, in bytes. The spec sets no limit and
// runc's is what a file name can hold; ids here also become parts of longer
// names, so we stop earlier. Engines use 64.
const MaxIDLen = 128

// ValidID reports why id cannot be a container id, or nil. The alphabet is
// runc's: letters, digits and `_+-.`, and neither "." nor ".."; an id is
// therefore always safe as a file name.
func ValidID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("container id: is empty")
	case len(id) > MaxIDLen:
		return fmt.Errorf("container id: has %d bytes, the limit is %d", len(id), MaxIDLen)
	case id == "." || id == "..":
		return fmt.Errorf("container id: %q is not allowed", id)
	}
	for _, r := range id {
		if !idRune(r) {
			return fmt.Errorf("container id: %q has %q in it, which is none of letters, digits, . _ + and -", id, r)
		}
	}
	return nil
}

func idRune(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return true
	}
	return r == '_' || r == '+' || r == '-' || r == '.'
}
