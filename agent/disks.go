package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kata/agent/api"
)

// disks are the block devices that have a serial number, which the host gave them.
func (a *agent) disks(*api.Empty) (*api.DisksResponse, error) {
	<-a.ready
	if a.bootErr != nil {
		return nil, a.bootErr
	}
	serials, err := filepath.Glob("/sys/block/*/serial")
	if err != nil {
		return nil, err
	}
	out := &api.DisksResponse{}
	for _, file := range serials {
		serial, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		number, err := os.ReadFile(filepath.Join(filepath.Dir(file), "dev"))
		if err != nil {
			return nil, err
		}
		d := api.Disk{Serial: strings.TrimSpace(string(serial))}
		if _, err := fmt.Sscanf(string(number), "%d:%d", &d.Major, &d.Minor); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		out.Disks = append(out.Disks, d)
	}
	return out, nil
}
