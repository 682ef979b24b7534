package qemu

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"strconv"

	"kata/check"
	"kata/vm"
)

// minMajor and minMinor are the first QEMU that passes frames as datagrams (-netdev
// dgram).
const minMajor, minMinor = 7, 2

// examine finds out whether a QEMU is new enough and has the accelerator, and the device
// for shares that is asked for. Error: vm.Unavailable.
func (t *target) examine(binary string, accel accelerator, options map[string]string) error {
	b, err := t.inspect(binary, accel)
	if err != nil {
		return &vm.Unavailable{Driver: Name, Kind: check.ProgramBroken, Err: err,
			Cause: fmt.Sprintf("%s is no QEMU: %v", binary, err), Remedy: "install QEMU again (Debian: " + t.pkg + ")"}
	}
	if !b.atLeast(minMajor, minMinor) {
		return &vm.Unavailable{Driver: Name, Kind: check.ProgramOld, Cause: fmt.Sprintf("%s is QEMU %s", binary, b.version),
			Remedy: fmt.Sprintf("install version %d.%d or newer (Debian 12 has 7.2)", minMajor, minMinor)}
	}
	if b.modular {
		if _, err := find(moduleDirs, t.module(accel)+".so"); err != nil {
			return &vm.Unavailable{Driver: Name, Kind: check.ProgramAccelerator, Cause: "QEMU's accelerator " + string(accel) + ": " + err.Error(),
				Remedy: "install QEMU's modules (Debian: " + t.pkg + ")"}
		}
	} else if !b.builtIn {
		return &vm.Unavailable{Driver: Name, Kind: check.ProgramAccelerator, Cause: binary + " was built without the accelerator " + string(accel),
			Remedy: "install a QEMU that has it (Debian: " + t.pkg + ")"}
	}
	if byVirtiofs(options) && !b.virtiofs {
		return &vm.Unavailable{Driver: Name, Kind: check.ProgramDevice, Cause: binary + " was built without the device vhost-user-fs",
			Remedy: "install a QEMU that has it (Debian: " + t.pkg + "), or share = \"9p\" in [qemu]"}
	}
	return nil
}

// build is what a QEMU was built as.
type build struct {
	version string
	modular bool // the accelerator is a file of its own
	builtIn bool // the accelerator is in the binary, unless it is modular
	// virtiofs says that it has the device for shares by virtiofs.
	virtiofs bool
}

func (b build) atLeast(major, minor int) bool {
	fields := bytes.SplitN([]byte(b.version), []byte("."), 3)
	if len(fields) < 2 {
		return false
	}
	x, err1 := strconv.Atoi(string(fields[0]))
	y, err2 := strconv.Atoi(string(fields[1]))
	return err1 == nil && err2 == nil && (x > major || x == major && y >= minor)
}

// inspect reads what is built in from the binary's constants: what --version would
// print, the accelerator's class and the device's, and the list of its modules. To ask QEMU itself
// takes ten times as long, which a start from a template would feel.
func (t *target) inspect(binary string, accel accelerator) (b build, err error) {
	f, err := elf.Open(binary)
	if err != nil {
		return b, err
	}
	defer f.Close()
	constants := f.Section(".rodata")
	if constants == nil {
		return b, errors.New("it has no constants")
	}
	const announcement = "QEMU emulator version "
	var (
		class  = []byte(string(accel) + "-accel\x00")
		module = []byte(t.module(accel) + "\x00")
		device = []byte("vhost-user-fs-device\x00")
	)
	err = scan(constants.Open(), func(block []byte) {
		if i := bytes.Index(block, []byte(announcement)); i >= 0 {
			rest := block[i+len(announcement):]
			if n := bytes.IndexFunc(rest, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }); n > 0 {
				b.version = string(rest[:n])
			}
		}
		b.builtIn = b.builtIn || bytes.Contains(block, class)
		b.modular = b.modular || bytes.Contains(block, module)
		b.virtiofs = b.virtiofs || bytes.Contains(block, device)
	})
	if err == nil && b.version == "" {
		err = errors.New("it does not say its version")
	}
	return b, err
}

// scan calls see with all of r, in blocks that overlap by more than what is looked for.
func scan(r io.Reader, see func(block []byte)) error {
	const overlap = 256
	buf := make([]byte, 64<<10)
	kept := 0
	for {
		n, err := io.ReadFull(r, buf[kept:])
		see(buf[:kept+n])
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
		kept = copy(buf, buf[len(buf)-overlap:])
	}
}
