package compile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kata/oci"
	"kata/test/configs"
)

// TestConfigs writes each configuration of the table, loads it as every command does,
// and compiles it.
func TestConfigs(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, c := range configs.All() {
		count[c.Heading]++
		raw, err := c.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, oci.ConfigName), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := oci.Load(dir)
		if err == nil {
			_, err = New("c", b)
		}
		if c.Error == "" {
			if err != nil {
				t.Errorf("%s: %v, but runc accepts it", c.Patch, err)
			}
			continue
		}
		ce, ok := errors.AsType[*oci.ConfigError](err)
		if !ok || !strings.HasPrefix(ce.Error(), c.Error) {
			t.Errorf("%s: %v, want %s", c.Patch, err, c.Error)
			continue
		}
		if field, _, _ := strings.Cut(c.Error, ": "); ce.Field != field || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q, want one line of %s", c.Patch, err, field)
		}
	}
	if len(count) != 5 || count["accepted by both"] == 0 {
		t.Errorf("the table has the headings %v", count)
	}
}
