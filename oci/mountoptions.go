package oci

import (
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// MountOptions are the options of mounts that mean the same for every file system
// (config.md, "Linux mount options"); any other is the file system's own.
var MountOptions = []string{
	"acl", "async", "atime", "bind", "defaults", "dev", "diratime", "dirsync", "exec", "idmap", "iversion", "lazytime", "loud",
	"mand", "noacl", "noatime", "nodev", "nodiratime", "noexec", "noiversion", "nolazytime", "nomand", "norelatime", "nostrictatime",
	"nosuid", "nosymfollow", "private", "ratime", "rbind", "rdev", "rdiratime", "relatime", "remount", "rexec", "ridmap", "rnoatime",
	"rnodev", "rnodiratime", "rnoexec", "rnorelatime", "rnostrictatime", "rnosuid", "rnosymfollow", "ro", "rprivate", "rrelatime",
	"rro", "rrw", "rshared", "rslave", "rstrictatime", "rsuid", "rsymfollow", "runbindable", "rw", "shared", "silent", "slave",
	"strictatime", "suid", "symfollow", "sync", "tmpcopyup", "unbindable",
}

// inProc are the files of /proc that something may be mounted on, as in runc: what
// lxcfs emulates.
var inProc = []string{
	"/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime",
	"/proc/loadavg", "/proc/slabinfo", "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
}

// checkDestination keeps mounts away from where the kernel speaks of itself. The
// words are runc's.
func checkDestination(m *specs.Mount) string {
	if slices.Contains(m.Options, "remount") {
		return ""
	}
	at := path.Join("/", m.Destination)
	switch {
	case at == "/":
		return "a mount here would cover the root filesystem"
	case at == "/proc" && m.Type != "proc":
		return `"/proc" cannot be mounted because it is not of type proc`
	case at == "/sys" && m.Type != "sysfs":
		return `"/sys" cannot be mounted because it is not of type sysfs`
	}
	inside := strings.HasPrefix(at, "/proc/") && !slices.Contains(inProc, at)
	return when(inside, "%q cannot be mounted because it is inside /proc", at)
}

// checkIDMap checks idmapped mounts (config.md, "Linux mount options").
func checkIDMap(l *specs.Linux, m *specs.Mount) (sub, reason string) {
	if sub, reason := checkMappings(m.UIDMappings); reason != "" {
		return ".uidMappings" + sub, reason
	}
	if sub, reason := checkMappings(m.GIDMappings); reason != "" {
		return ".gidMappings" + sub, reason
	}
	option := slices.ContainsFunc(m.Options, func(o string) bool { return o == "idmap" || o == "ridmap" })
	switch {
	case (len(m.UIDMappings) == 0) != (len(m.GIDMappings) == 0):
		return "", "uidMappings and gidMappings go together, one is missing"
	case option && len(m.UIDMappings) == 0 && (l == nil || len(l.UIDMappings) == 0 || len(l.GIDMappings) == 0):
		return ".options", "idmap without uidMappings needs those of a user namespace in linux.uidMappings and gidMappings"
	case slices.Contains(m.Options, "remount") && (option || len(m.UIDMappings) > 0):
		return "", "the ids of a mount that is there cannot be mapped by remount"
	}
	return "", ""
}

// checkCopyUp refuses an option that means nothing elsewhere.
func checkCopyUp(m *specs.Mount) string {
	copyUp := slices.Contains(m.Options, "tmpcopyup") && m.Type != "tmpfs"
	return when(copyUp, "tmpcopyup is for mounts of type tmpfs")
}
