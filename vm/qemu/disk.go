package qemu

import (
	"encoding/json"
	"fmt"

	"kata/vm"
)

// diskArgs are the disks. QEMU opens their descriptors by the number of a set that it
// puts them into; first is the first descriptor.
func (t *target) diskArgs(s vm.Spec, first int) (args []string) {
	for i, d := range s.Disks {
		b, err := json.Marshal(blockdev(i, d))
		if err != nil {
			panic(err) // strings and booleans
		}
		args = append(args, "-add-fd", fmt.Sprintf("fd=%d,set=%d", first+i, i), "-blockdev", string(b),
			"-device", t.virtio("blk", fmt.Sprintf("drive=%s,serial=%s", diskName(i), d.Serial)))
	}
	return args
}

// diskName is what QEMU calls a disk and what is behind it.
func diskName(n int) string { return fmt.Sprintf("disk%d", n) }

// blockdev is what is behind a disk, as QEMU's command line and its monitor take it.
func blockdev(n int, d vm.Disk) map[string]any {
	driver := "host_device"
	if fi, err := d.File.Stat(); err == nil && fi.Mode().IsRegular() {
		driver = "file"
	}
	return map[string]any{"driver": driver, "filename": fmt.Sprintf("/dev/fdset/%d", n), "node-name": diskName(n),
		"read-only": d.ReadOnly, "discard": "unmap", "locking": "off"}
}
