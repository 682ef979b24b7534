package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kata/agent/api"
)

// removeDisk writes a disk out and switches the port off that it is at, which is when
// the machine lets it go.
func (a *agent) removeDisk(req *api.DiskRequest) (*api.Empty, error) {
	<-a.ready
	if a.bootErr != nil {
		return nil, a.bootErr
	}
	port, err := portOf("/sys", req.Serial)
	if err != nil {
		return nil, fmt.Errorf("disk %s: %w", req.Serial, err)
	}
	if err := os.WriteFile(filepath.Join(port, "power"), []byte("0"), 0); err != nil {
		return nil, fmt.Errorf("disk %s: switch its port off: %w", req.Serial, err)
	}
	return &api.Empty{}, nil
}

// portOf finds the port of a disk, a directory of sysfs: a virtio device belongs to a
// PCI device, whose address without the function is the port's.
func portOf(sys, serial string) (string, error) {
	disks, err := filepath.Glob(sys + "/block/*/serial")
	if err != nil {
		return "", err
	}
	for _, file := range disks {
		b, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(b)) != serial {
			continue
		}
		virtio, err := filepath.EvalSymlinks(filepath.Join(filepath.Dir(file), "device"))
		if err != nil {
			return "", err
		}
		address, _, _ := strings.Cut(filepath.Base(filepath.Dir(virtio)), ".")
		ports, err := filepath.Glob(sys + "/bus/pci/slots/*/address")
		if err != nil {
			return "", err
		}
		for _, p := range ports {
			if b, err := os.ReadFile(p); err == nil && strings.TrimSpace(string(b)) == address {
				return filepath.Dir(p), nil
			}
		}
		return "", fmt.Errorf("it is at no port that can be switched off (PCI device %s)", address)
	}
	return "", &api.Error{Code: api.CodeNotFound, Message: "the guest has no such disk"}
}
