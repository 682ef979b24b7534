package cli

import (
	"cmp"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"kata/image"
	"kata/oci"
)

// setPlatform writes into the bundle what --platform asks for.
func (f *runFlags) setPlatform(s *specs.Spec) error {
	if f.platform == "" {
		return nil
	}
	arch, err := image.ParsePlatform(f.platform)
	if err != nil {
		return fmt.Errorf("--platform: %w", err)
	}
	if s.Annotations == nil {
		s.Annotations = map[string]string{}
	}
	s.Annotations[oci.ArchitectureAnnotation] = arch
	return nil
}

// openImage opens an image for the platform. Of one for others only, the error names
// the flag that would run it.
func (f *runFlags) openImage(path string) (*image.Image, error) {
	im, err := image.OpenPlatform(path, cmp.Or(f.platform, image.DefaultPlatform))
	if p, ok := errors.AsType[*image.PlatformError](err); ok {
		for _, have := range p.Have {
			if strings.HasPrefix(have, "linux/") {
				return nil, fmt.Errorf("%w; --platform %s runs that by emulation", err, have)
			}
		}
	}
	return im, err
}

// programs are the architectures of ELF's machines that a machine of another
// architecture cannot run.
var programs = map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"}

// checkProgram refuses a program for another architecture than the machine's: its
// kernel would only say that the format is wrong. What is no program of those, or
// is not there, is left to the kernel.
func checkProgram(rootfs string, s *specs.Spec) error {
	want := oci.Architecture(s)
	for _, name := range candidates(s.Process) {
		machine, err := programMachine(rootfs, name)
		if err != nil {
			continue
		}
		if have := programs[machine]; have != "" && have != want {
			return fmt.Errorf("%s is a program for %s, and the machine would be for %s; --platform linux/%s makes one for %s",
				name, have, want, have, have)
		}
		return nil
	}
	return nil
}

// candidates are the paths that the first argument can mean, as execvp(3) has it.
func candidates(p *specs.Process) []string {
	if len(p.Args) == 0 {
		return nil
	}
	name := p.Args[0]
	if strings.Contains(name, "/") {
		if !path.IsAbs(name) {
			name = path.Join(p.Cwd, name)
		}
		return []string{name}
	}
	var out []string
	for _, e := range p.Env {
		if dirs, ok := strings.CutPrefix(e, "PATH="); ok {
			for _, dir := range strings.Split(dirs, ":") {
				out = append(out, path.Join("/", dir, name))
			}
		}
	}
	return out
}

// programMachine reads for which machine an ELF file in the root filesystem is. No
// link leads out of it.
func programMachine(rootfs, name string) (elf.Machine, error) {
	root, err := unix.Open(rootfs, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(root)
	fd, err := unix.Openat2(root, name, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0, errors.New("not a regular file")
	}
	f, err := os.Open("/proc/self/fd/" + strconv.Itoa(fd)) // a regular file: nothing happens by opening it
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var header [20]byte // e_ident, e_type, e_machine; both architectures are little-endian
	if _, err := io.ReadFull(f, header[:]); err != nil {
		return 0, err
	}
	if string(header[:4]) != elf.ELFMAG || header[elf.EI_DATA] != byte(elf.ELFDATA2LSB) {
		return 0, errors.New("not a program")
	}
	return elf.Machine(binary.LittleEndian.Uint16(header[18:])), nil
}
