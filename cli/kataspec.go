package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/image"
	"kata/oci"
	"kata/sandbox/shim"
)

// capabilities are what engines give a container unless told otherwise.
var capabilities = strings.Fields(`CAP_CHOWN CAP_DAC_OVERRIDE CAP_FSETID CAP_FOWNER CAP_MKNOD CAP_NET_RAW CAP_SETGID
	CAP_SETUID CAP_SETFCAP CAP_SETPCAP CAP_NET_BIND_SERVICE CAP_SYS_CHROOT CAP_KILL CAP_AUDIT_WRITE`)

// defaultSpec is what kata run starts from: root may do in the container what an
// engine would let it do.
func defaultSpec() *specs.Spec {
	s := oci.DefaultSpec()
	s.Root.Readonly = false
	s.Hostname = ""
	s.Process.Args = nil
	s.Process.Terminal = false
	s.Process.Rlimits = nil
	s.Process.NoNewPrivileges = false
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: capabilities, Effective: capabilities, Permitted: capabilities}
	return s
}

// finish applies the flags to the specification and writes the bundle.
func (f *runFlags) finish(s *specs.Spec, work, rootfs string) error {
	s.Root.Path = rootfs
	p := s.Process
	if f.tty {
		p.Terminal = true
		p.Env = image.MergeEnv([]string{"TERM=xterm"}, p.Env)
		if term := os.Getenv("TERM"); term != "" {
			p.Env = image.MergeEnv(p.Env, []string{"TERM=" + term})
		}
	} else if !shim.IsTerminal(os.Stdin) {
		p.Terminal = false
	}
	for _, e := range f.env {
		if !strings.Contains(e, "=") {
			v, ok := os.LookupEnv(e)
			if !ok {
				continue
			}
			e += "=" + v
		}
		p.Env = image.MergeEnv(p.Env, []string{e})
	}
	if f.workdir != "" {
		p.Cwd = f.workdir
	}
	if f.user != "" {
		u, err := image.ResolveUser(rootfs, f.user)
		if err != nil {
			return err
		}
		p.User = u
	}
	if err := checkProgram(rootfs, s); err != nil {
		return err
	}
	if s.Hostname == "" {
		s.Hostname = f.id[:min(len(f.id), 63)]
	}
	if f.hostname != "" {
		s.Hostname = f.hostname
	}
	if err := f.addVolumes(s); err != nil {
		return err
	}
	if err := f.addLimits(s); err != nil {
		return err
	}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(work, oci.ConfigName), b, 0o600)
}

func (f *runFlags) addVolumes(s *specs.Spec) error {
	for _, v := range f.volumes {
		parts := strings.Split(v, ":")
		if len(parts) < 2 || len(parts) > 3 || !filepath.IsAbs(parts[1]) {
			return fmt.Errorf("-v %q: must be HOST:GUEST or HOST:GUEST:ro, GUEST being absolute", v)
		}
		options := []string{"rbind", "rprivate"}
		if len(parts) == 3 {
			if parts[2] != "ro" && parts[2] != "rw" {
				return fmt.Errorf("-v %q: option %q: must be ro or rw", v, parts[2])
			}
			options = append(options, parts[2])
		}
		source, err := filepath.Abs(parts[0])
		if err != nil {
			return err
		}
		if _, err := os.Stat(source); err != nil {
			return fmt.Errorf("-v %q: %w", v, err)
		}
		s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: source, Destination: parts[1], Options: options})
	}
	return nil
}

// cpuPeriod is the period of CPU limits, microseconds: the kernel's default.
const cpuPeriod = 100000

func (f *runFlags) addLimits(s *specs.Spec) error {
	r, err := f.limits()
	if err == nil && (r.Memory != nil || r.CPU != nil) {
		s.Linux.Resources = r
	}
	return err
}

func (f *runFlags) limits() (*specs.LinuxResources, error) {
	r := &specs.LinuxResources{}
	if f.memory != "" {
		n, err := parseSize(f.memory)
		if err != nil {
			return nil, fmt.Errorf("--memory %q: %w", f.memory, err)
		}
		r.Memory = &specs.LinuxMemory{Limit: &n}
	}
	if f.cpus != "" {
		n, err := strconv.ParseFloat(f.cpus, 64)
		if err != nil || n < 0.01 || n > 1024 {
			return nil, fmt.Errorf("--cpus %q: must be a number from 0.01 to 1024", f.cpus)
		}
		quota, period := int64(n*cpuPeriod), uint64(cpuPeriod)
		r.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period}
	}
	return r, nil
}

// parseSize reads bytes with an optional unit: b, k, m or g, in powers of 1024.
func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(strings.ToLower(s), "bkmgi")
	n, err := strconv.ParseInt(digits, 10, 64)
	shift := map[string]uint{"": 0, "b": 0, "k": 10, "kb": 10, "ki": 10, "m": 20, "mb": 20, "mi": 20, "g": 30, "gb": 30, "gi": 30}
	by, ok := shift[strings.ToLower(s)[len(digits):]]
	if err != nil || !ok || n <= 0 || n > 1<<53>>by {
		return 0, fmt.Errorf("must be a positive number with b, k, m or g")
	}
	return n << by, nil
}
