package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPortOf(t *testing.T) {
	sys := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(sys+name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(sys+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for disk, pci := range map[string]string{"vda": "0000:00:05.0", "vdb": "0000:0f:00.0"} {
		write("/block/"+disk+"/serial", "of-"+disk)
		write("/devices/pci0000:00/"+pci+"/virtio1/status", "0x0f\n")
		if err := os.Symlink("../../devices/pci0000:00/"+pci+"/virtio1", sys+"/block/"+disk+"/device"); err != nil {
			t.Fatal(err)
		}
	}
	write("/bus/pci/slots/0/address", "0000:01:00\n")
	write("/bus/pci/slots/0-1/address", "0000:0f:00\n")
	if port, err := portOf(sys, "of-vdb"); port != sys+"/bus/pci/slots/0-1" || err != nil {
		t.Errorf("%s, %v", port, err)
	}
	for serial, want := range map[string]string{"of-vda": "at no port", "of-vdc": "no such disk"} {
		if _, err := portOf(sys, serial); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", serial, err, want)
		}
	}
}
