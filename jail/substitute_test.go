package jail

import "testing"

func TestAtLeast(t *testing.T) {
	for release, want := range map[string]bool{"5.14.0-1-amd64": true, "5.13.9": false, "6.1.0": true, "4.19": false, "5.15": true, "x": false, "": false} {
		if got := atLeast(release, 5, 14); got != want {
			t.Errorf("%q: %v, want %v", release, got, want)
		}
	}
}
