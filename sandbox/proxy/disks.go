package proxy

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"kata/agent/api"
	"kata/oci"
	"kata/sandbox"
	"kata/sandbox/compile"
	"kata/storage"
	"kata/vm"
)

// openDisks opens the block devices that a container is to have, beside those that the
// machine has. The machine has them once they are attached: the caller closes them then.
func openDisks(c *compile.Container, driver string, caps vm.Capabilities, has int) (_ []vm.Disk, err error) {
	var disks []vm.Disk
	defer func() {
		if err != nil {
			closeDisks(disks)
		}
	}()
	for i, want := range c.Disks {
		if caps.MaxDisks == 0 {
			return disks, refuseDisk(want, "%s has no disks: take another hypervisor", driver)
		}
		if has+i >= caps.MaxDisks {
			return disks, refuseDisk(want, "it is one disk too many: %s has at most %d", driver, caps.MaxDisks)
		}
		d, err := storage.Open(want.Number.Major, want.Number.Minor, want.Write)
		if err != nil {
			return disks, refuseDisk(want, "%v", err)
		}
		disks = append(disks, vm.Disk{File: d.File, ReadOnly: d.ReadOnly})
	}
	return disks, nil
}

func closeDisks(disks []vm.Disk) {
	for _, d := range disks {
		d.File.Close()
	}
}

func refuseDisk(d compile.Disk, format string, args ...any) error {
	return fmt.Errorf("%s: %w", oci.ConfigName, &oci.ConfigError{Field: d.Field, Reason: d.Path + ": " + fmt.Sprintf(format, args...)})
}

// plug tells the container what its disks are in the guest.
func plug(ctx context.Context, sb *sandbox.Sandbox, c *compile.Container) (compile.Disks, error) {
	if len(c.Disks) == 0 {
		return nil, nil
	}
	found, err := sb.Disks(ctx)
	if err != nil {
		return nil, err
	}
	return tell(c, found)
}

// tell gives the container's disks, in their order, the numbers that they have.
func tell(c *compile.Container, found []api.Disk) (compile.Disks, error) {
	disks := compile.Disks{}
	for i, d := range found {
		disks[c.Disks[i].Number] = compile.Number{Major: d.Major, Minor: d.Minor}
	}
	return disks, c.Plug(disks)
}

// hotDisks attaches the disks of a container that comes into a running machine, and
// returns their serials.
func hotDisks(ctx context.Context, sb *sandbox.Sandbox, c *compile.Container) (compile.Disks, []string, error) {
	if len(c.Disks) == 0 {
		return nil, nil, nil
	}
	if !sb.Capabilities.HotDisks {
		return nil, nil, refuseDisk(c.Disks[0], "a disk cannot be attached to a machine of this kind while it runs, and the container joins one; give it to the first container of the sandbox")
	}
	list, err := openDisks(c, sb.Driver, sb.Capabilities, sb.CountDisks())
	if err != nil {
		return nil, nil, err
	}
	defer closeDisks(list)
	found, err := sb.AddDisks(ctx, list)
	if err != nil {
		return nil, nil, err
	}
	var serials []string
	for _, d := range list {
		serials = append(serials, d.Serial)
	}
	disks, err := tell(c, found)
	return disks, serials, err
}

// powerOffTime is how long a guest may take to switch itself off.
const powerOffTime = 3 * time.Second

// end ends the machine: at once, if what containers wrote is on the host when they have
// ended; a disk may have more to be written, by the guest's kernel.
func (p *pod) end() {
	if p.sb.CountDisks() > 0 {
		_ = p.sb.PowerOff(powerOffTime) // then it is stopped
	}
	p.sb.Stop()
}

// flush ends a container that has disks in an orderly way, if it can: what the guest
// has not written yet would be lost with the machine.
func (o *owner) flush(patience time.Duration) {
	if len(o.disks) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = o.sb.Signal(ctx, o.id, "", int(unix.SIGKILL), true) // it may have ended
	select {
	case <-o.ended:
	case <-ctx.Done():
	}
}
