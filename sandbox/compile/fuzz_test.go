package compile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kata/agent/api"
	"kata/oci"
	"kata/test/configs"
)

// FuzzNew: any config.json is refused in one line, or becomes a message that the
// agent reads and that is not larger than what was asked for.
func FuzzNew(f *testing.F) {
	seeds, err := filepath.Glob("../../oci/testdata/*.json")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range seeds {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	for _, c := range configs.All() {
		raw, err := c.JSON()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	dir := f.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(filepath.Join(dir, oci.ConfigName), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := oci.Load(dir)
		var c *Container
		if err == nil {
			c, err = New("c", b)
		}
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r\x00\x1b") {
				t.Errorf("error has more than one line: %q", err)
			}
			return
		}
		wire := api.Marshal(&c.Request)
		if err := api.Unmarshal(wire, &api.CreateRequest{}); err != nil {
			t.Errorf("the agent cannot read what was made of %s: %v", raw, err)
		}
		if most := 64<<10 + 8*len(raw); len(wire) > most {
			t.Errorf("%d bytes became a message of %d", len(raw), len(wire))
		}
		if len(c.Shares) > 1+len(b.Spec.Mounts) {
			t.Errorf("%d shares of %d mounts", len(c.Shares), len(b.Spec.Mounts))
		}
	})
}
