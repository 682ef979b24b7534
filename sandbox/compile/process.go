package compile

import (
	"fmt"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/agent/api"
)

// Process compiles the first process of a container.
func Process(p *specs.Process) (*api.Process, error) {
	out := &api.Process{
		Args: p.Args, Env: p.Env, Cwd: p.Cwd,
		UID: p.User.UID, GID: p.User.GID, Groups: p.User.AdditionalGids,
		NoNewPrivileges: p.NoNewPrivileges,
		Terminal:        p.Terminal,
		Stdin:           true, SeparateStderr: !p.Terminal,
	}
	if p.User.Umask != nil {
		out.Umask, out.UmaskSet = *p.User.Umask, true
	}
	if p.OOMScoreAdj != nil {
		out.OOMScoreAdj, out.OOMScoreAdjSet = int32(*p.OOMScoreAdj), true
	}
	if p.ConsoleSize != nil {
		out.Rows, out.Columns = uint32(p.ConsoleSize.Height), uint32(p.ConsoleSize.Width)
	}
	if c := p.Capabilities; c != nil {
		out.Capabilities = api.Capabilities{Bounding: capMask(c.Bounding), Effective: capMask(c.Effective),
			Inheritable: capMask(c.Inheritable), Permitted: capMask(c.Permitted), Ambient: capMask(c.Ambient)}
	}
	for i, r := range p.Rlimits {
		n, ok := rlimits[r.Type]
		if !ok {
			return nil, field(fmt.Sprintf("process.rlimits[%d].type", i), "%q is unknown", r.Type)
		}
		out.Rlimits = append(out.Rlimits, api.Rlimit{Type: n, Soft: r.Soft, Hard: r.Hard})
	}
	return out, attributes(p, out)
}

// Exec compiles a process that joins a container.
func Exec(p *specs.Process) (*api.Process, error) {
	out, err := Process(p)
	if err == nil {
		out.CPUAffinity = affinity(p.ExecCPUAffinity)
	}
	return out, err
}

// rlimits are the numbers of getrlimit(2), the same on all of Linux's 64-bit
// architectures that the guest runs on.
var rlimits = map[string]uint32{
	"RLIMIT_CPU": 0, "RLIMIT_FSIZE": 1, "RLIMIT_DATA": 2, "RLIMIT_STACK": 3, "RLIMIT_CORE": 4, "RLIMIT_RSS": 5,
	"RLIMIT_NPROC": 6, "RLIMIT_NOFILE": 7, "RLIMIT_MEMLOCK": 8, "RLIMIT_AS": 9, "RLIMIT_LOCKS": 10,
	"RLIMIT_SIGPENDING": 11, "RLIMIT_MSGQUEUE": 12, "RLIMIT_NICE": 13, "RLIMIT_RTPRIO": 14, "RLIMIT_RTTIME": 15,
}

// capabilityNames in the order of their numbers (linux/capability.h).
var capabilityNames = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
	LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
	SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE
	AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)

// capMask makes a bit mask; unknown names are ignored (package oci warns).
func capMask(names []string) uint64 {
	var m uint64
	for _, n := range names {
		for bit, known := range capabilityNames {
			if strings.TrimPrefix(n, "CAP_") == known {
				m |= 1 << bit
			}
		}
	}
	return m
}
