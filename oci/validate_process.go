package oci

import (
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// processRules follow config.md, "Process", "POSIX process" and "Linux
// Process".
var processRules = []rule[*specs.Process]{
	{"process.args", checkArgs},
	{"process.cwd", func(p *specs.Process) (string, string) {
		return "", checkAbsolute(p.Cwd)
	}},
	{"process.env", checkEnv},
	{"process.user", checkUser},
	{"process.rlimits", checkRlimits},
	{"process.oomScoreAdj", func(p *specs.Process) (string, string) {
		o := p.OOMScoreAdj
		return "", when(o != nil && (*o < -1000 || *o > 1000), "is not between -1000 and 1000")
	}},
	{"process.scheduler", checkScheduler},
	{"process.ioPriority", checkIOPriority},
	{"process.execCPUAffinity", checkAffinity},
}

func checkArgs(p *specs.Process) (string, string) {
	if len(p.Args) == 0 {
		return "", "is empty"
	}
	if p.Args[0] == "" {
		return "[0]", "is empty"
	}
	for i, a := range p.Args {
		if reason := checkNUL(a); reason != "" {
			return index(i, ""), reason
		}
	}
	return "", ""
}

func checkEnv(p *specs.Process) (string, string) {
	for i, e := range p.Env {
		if strings.IndexByte(e, '=') <= 0 {
			return index(i, ""), fmt.Sprintf("%q is not NAME=VALUE", e)
		}
		if reason := checkNUL(e); reason != "" {
			return index(i, ""), reason
		}
	}
	return "", ""
}

// maxID is runc's. Among what is above is (uid_t)-1, which to setresuid(2) means "as
// before", and that is root.
const maxID = 1<<31 - 1

func checkUser(p *specs.Process) (string, string) {
	const why = "%d: uids and gids must be in range 0-%d"
	u := p.User
	switch {
	case u.UID > maxID:
		return ".uid", fmt.Sprintf(why, u.UID, maxID)
	case u.GID > maxID:
		return ".gid", fmt.Sprintf(why, u.GID, maxID)
	}
	for i, g := range u.AdditionalGids {
		if g > maxID {
			return ".additionalGids" + index(i, ""), fmt.Sprintf(why, g, maxID)
		}
	}
	return "", ""
}

func checkRlimits(p *specs.Process) (string, string) {
	seen := make(map[string]bool, len(p.Rlimits))
	for i, r := range p.Rlimits {
		switch {
		case !slices.Contains(rlimits, r.Type):
			return index(i, ".type"), fmt.Sprintf("%q is not a resource limit of Linux", r.Type)
		case seen[r.Type]:
			return index(i, ".type"), r.Type + " is there twice"
		case r.Soft > r.Hard:
			return index(i, ".soft"), fmt.Sprintf("%d is more than hard, %d", r.Soft, r.Hard)
		}
		seen[r.Type] = true
	}
	return "", ""
}

func checkScheduler(p *specs.Process) (string, string) {
	s := p.Scheduler
	if s == nil {
		return "", ""
	}
	realtime := s.Policy == specs.SchedFIFO || s.Policy == specs.SchedRR
	switch {
	case !slices.Contains(schedulers, s.Policy):
		return ".policy", fmt.Sprintf("%q is not a scheduling policy of Linux", s.Policy)
	case s.Nice < -20 || s.Nice > 19:
		return ".nice", fmt.Sprintf("%d is not between -20 and 19", s.Nice)
	case s.Priority != 0 && !realtime:
		return ".priority", "is only for SCHED_FIFO and SCHED_RR"
	case realtime && (s.Priority < 1 || s.Priority > 99):
		return ".priority", fmt.Sprintf("%d is not between 1 and 99", s.Priority)
	case s.Policy != specs.SchedDeadline && (s.Runtime|s.Deadline|s.Period) != 0:
		return "", "runtime, deadline and period are only for SCHED_DEADLINE"
	}
	return "", ""
}

func checkIOPriority(p *specs.Process) (string, string) {
	switch io := p.IOPriority; {
	case io == nil:
		return "", ""
	case !slices.Contains(ioClasses, io.Class):
		return ".class", fmt.Sprintf("%q is not an I/O class of Linux", io.Class)
	case io.Priority < 0 || io.Priority > 7:
		return ".priority", fmt.Sprintf("%d is not between 0 and 7", io.Priority)
	}
	return "", ""
}

func checkAffinity(p *specs.Process) (string, string) {
	a := p.ExecCPUAffinity
	if a == nil {
		return "", ""
	}
	if reason := checkList(a.Initial); reason != "" {
		return ".initial", reason
	}
	return ".final", checkList(a.Final)
}
