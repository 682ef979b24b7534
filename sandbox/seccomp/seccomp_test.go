package seccomp

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// call is struct seccomp_data, without the instruction pointer.
type call struct {
	nr, arch uint32
	args     [6]uint64
}

// load reads what an absolute load of the filter sees.
func (c call) load(t *testing.T, off uint32) uint32 {
	t.Helper()
	b := make([]byte, 64)
	binary.LittleEndian.PutUint32(b, c.nr)
	binary.LittleEndian.PutUint32(b[4:], c.arch)
	for i, a := range c.args {
		binary.LittleEndian.PutUint64(b[16+8*i:], a)
	}
	if off%4 != 0 || off > 60 {
		t.Fatalf("load from offset %d", off)
	}
	return binary.LittleEndian.Uint32(b[off:])
}

// run interprets a filter as the kernel does, and counts the instructions.
func (f *Filter) run(t *testing.T, c call) (ret uint32, steps int) {
	t.Helper()
	var acc uint32
	for pc := 0; ; pc++ {
		if 8*pc+8 > len(f.Program) {
			t.Fatal("the filter runs past its end")
		}
		i := f.Program[8*pc:]
		code, jt, jf, k := binary.LittleEndian.Uint16(i), int(i[2]), int(i[3]), binary.LittleEndian.Uint32(i[4:])
		steps++
		holds := false
		switch code {
		case ldAbs:
			acc = c.load(t, k)
			continue
		case and:
			acc &= k
			continue
		case ja:
			pc += int(k)
			continue
		case unix.BPF_RET | unix.BPF_K:
			return k, steps
		case jeq:
			holds = acc == k
		case jgt:
			holds = acc > k
		case jge:
			holds = acc >= k
		default:
			t.Fatalf("instruction %d has code %#x", pc, code)
		}
		if holds {
			pc += jt
		} else {
			pc += jf
		}
	}
}

const (
	amd64 = unix.AUDIT_ARCH_X86_64
	i386  = unix.AUDIT_ARCH_I386
	allow = unix.SECCOMP_RET_ALLOW
	kill  = unix.SECCOMP_RET_KILL_THREAD
)

func errno(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }

func compile(t *testing.T, p *specs.LinuxSeccomp) *Filter {
	t.Helper()
	f, err := Compile(p, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// only compiles rules on top of a default of EPERM.
func only(t *testing.T, rules ...specs.LinuxSyscall) *Filter {
	t.Helper()
	return compile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: rules})
}

func (f *Filter) want(t *testing.T, what string, c call, want uint32) {
	t.Helper()
	if c.arch == 0 {
		c.arch = amd64
	}
	if got, _ := f.run(t, c); got != want {
		t.Errorf("%s: %#x, want %#x", what, got, want)
	}
}

func TestOperators(t *testing.T) {
	const v = 0x2_0000_0005 // both halves matter
	near := []uint64{0, 4, 5, 6, v - 1, v, v + 1, v - 1<<32, v + 1<<32, 0x1_ffff_ffff, 0x3_0000_0000, math.MaxUint64}
	for op, holds := range map[specs.LinuxSeccompOperator]func(a uint64) bool{
		specs.OpEqualTo:      func(a uint64) bool { return a == v },
		specs.OpNotEqual:     func(a uint64) bool { return a != v },
		specs.OpLessThan:     func(a uint64) bool { return a < v },
		specs.OpLessEqual:    func(a uint64) bool { return a <= v },
		specs.OpGreaterThan:  func(a uint64) bool { return a > v },
		specs.OpGreaterEqual: func(a uint64) bool { return a >= v },
		specs.OpMaskedEqual:  func(a uint64) bool { return a&v == 0x2_0000_0001 },
	} {
		for index := range uint(6) {
			arg := specs.LinuxSeccompArg{Index: index, Value: v, Op: op}
			if op == specs.OpMaskedEqual {
				arg.ValueTwo = 0x2_0000_0001 | 1<<40 // bits beyond the mask do not count
			}
			f := only(t, specs.LinuxSyscall{Names: []string{"read"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{arg}})
			for _, a := range near {
				c := call{nr: unix.SYS_READ}
				c.args[index] = a
				want := errno(unix.EPERM)
				if holds(a) {
					want = allow
				}
				f.want(t, string(op), c, want)
			}
		}
	}
}

func arg(index uint, op specs.LinuxSeccompOperator, value uint64) specs.LinuxSeccompArg {
	return specs.LinuxSeccompArg{Index: index, Op: op, Value: value}
}

func TestRulesOfOneCall(t *testing.T) {
	const two = 2
	rule := func(a specs.LinuxSeccompAction, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: []string{"read"}, Action: a, Args: args}
	}
	args := func(a, b uint64) call { return call{nr: unix.SYS_READ, args: [6]uint64{a, b}} }
	eq := specs.OpEqualTo

	f := only(t, rule(specs.ActAllow, arg(0, eq, 1), arg(1, eq, two)))
	f.want(t, "all conditions hold", args(1, two), allow)
	f.want(t, "the second does not", args(1, 1), errno(unix.EPERM))
	f.want(t, "the first does not", args(two, two), errno(unix.EPERM))

	f = only(t, rule(specs.ActAllow, arg(0, eq, 1)), rule(specs.ActTrap, arg(0, eq, two)))
	f.want(t, "first alternative", args(1, 0), allow)
	f.want(t, "second alternative", args(two, 0), unix.SECCOMP_RET_TRAP)
	f.want(t, "none", args(3, 0), errno(unix.EPERM))

	f = only(t, rule(specs.ActAllow, arg(0, eq, 1), arg(0, eq, two)))
	f.want(t, "an argument named twice, first", args(1, 0), allow)
	f.want(t, "an argument named twice, second", args(two, 0), allow)

	f = only(t, rule(specs.ActTrap, arg(0, eq, 1)), rule(specs.ActAllow))
	f.want(t, "a rule without conditions replaces", args(1, 0), allow)
	f = only(t, rule(specs.ActAllow), rule(specs.ActKill), rule(specs.ActTrap, arg(0, eq, 1)))
	f.want(t, "a rule without conditions stands", args(1, 0), allow)
	f = only(t, rule(specs.ActErrno), rule(specs.ActAllow))
	f.want(t, "a rule that says the default says nothing", args(1, 0), allow)
}

func TestActions(t *testing.T) {
	five := uint(5)
	for _, tc := range []struct {
		action specs.LinuxSeccompAction
		errno  *uint
		want   uint32
	}{
		{specs.ActKill, nil, kill}, {specs.ActKillThread, nil, kill},
		{specs.ActKillProcess, nil, unix.SECCOMP_RET_KILL_PROCESS}, {specs.ActTrap, nil, unix.SECCOMP_RET_TRAP},
		{specs.ActErrno, nil, errno(unix.EPERM)}, {specs.ActErrno, &five, errno(unix.EIO)},
		{specs.ActTrace, nil, unix.SECCOMP_RET_TRACE | 1}, {specs.ActTrace, &five, unix.SECCOMP_RET_TRACE | 5},
		{specs.ActLog, nil, unix.SECCOMP_RET_LOG}, {specs.ActAllow, nil, allow},
	} {
		f := compile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow,
			Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: tc.action, ErrnoRet: tc.errno}}})
		f.want(t, string(tc.action), call{nr: unix.SYS_READ}, tc.want)
		f.want(t, "another", call{nr: unix.SYS_WRITE}, allow)
		f = compile(t, &specs.LinuxSeccomp{DefaultAction: tc.action, DefaultErrnoRet: tc.errno})
		f.want(t, "default "+string(tc.action), call{nr: 10_000}, tc.want)
	}
	for _, p := range []*specs.LinuxSeccomp{
		{DefaultAction: specs.ActNotify},
		{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagWaitKillableRecv}},
		{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActNotify}}},
	} {
		if _, err := Compile(p, "amd64"); err == nil || !strings.Contains(err.Error(), "in the guest") {
			t.Errorf("%+v: %v", p, err)
		}
	}
	if _, err := Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow}, "sparc"); err == nil {
		t.Error("an architecture without tables is accepted")
	}
}

func TestFlags(t *testing.T) {
	f := compile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow})
	if f.Flags != unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW {
		t.Errorf("flags by default %#x", f.Flags)
	}
	f = compile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_TSYNC", specs.LinuxSeccompFlagLog}})
	if f.Flags != unix.SECCOMP_FILTER_FLAG_TSYNC|unix.SECCOMP_FILTER_FLAG_LOG {
		t.Errorf("flags %#x", f.Flags)
	}
}

func TestNewSystemCallsAreENOSYS(t *testing.T) {
	rules := []specs.LinuxSyscall{{Names: []string{"write", "no_such_call", "mount"}, Action: specs.ActAllow},
		{Names: []string{"clone3"}, Action: specs.ActErrno}} // the default: it only says that clone3 is known
	for action, newer := range map[specs.LinuxSeccompAction]uint32{
		specs.ActErrno: errno(unix.ENOSYS), specs.ActKillProcess: errno(unix.ENOSYS), specs.ActTrap: errno(unix.ENOSYS),
		specs.ActLog: unix.SECCOMP_RET_LOG, specs.ActTrace: unix.SECCOMP_RET_TRACE | 1,
	} {
		def := actions[action]
		if action == specs.ActErrno || action == specs.ActTrace {
			def |= 1
		}
		f := compile(t, &specs.LinuxSeccomp{DefaultAction: action, Syscalls: rules})
		f.want(t, "known", call{nr: unix.SYS_MOUNT}, allow)
		f.want(t, "denied", call{nr: unix.SYS_PTRACE}, def)
		f.want(t, "newer than the profile", call{nr: unix.SYS_OPENAT2}, newer)
		f.want(t, "of a tracer", call{nr: math.MaxUint32}, newer)
	}
	f := only(t)
	f.want(t, "a profile without rules", call{nr: unix.SYS_OPENAT2}, errno(unix.EPERM))
}

func TestArchitectures(t *testing.T) {
	rules := []specs.LinuxSyscall{
		{Names: []string{"read", "socketcall"}, Action: specs.ActAllow},
		{Names: []string{"personality"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{arg(0, specs.OpEqualTo, 0x1_0000_0008)}}}
	f := only(t, rules...)
	f.want(t, "an architecture that the profile does not name", call{nr: 3, arch: i386}, kill)
	f.want(t, "x32 without being named", call{nr: x32Bit}, kill)
	f = compile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: rules,
		Architectures: []specs.Arch{specs.ArchX86, specs.ArchX32, specs.ArchMIPS}})
	f.want(t, "native, even if not named", call{nr: unix.SYS_READ}, allow)
	f.want(t, "read of i386", call{nr: 3, arch: i386}, allow)
	f.want(t, "socketcall of i386", call{nr: 102, arch: i386}, allow)
	f.want(t, "poll of i386", call{nr: 168, arch: i386}, errno(unix.ENOSYS))
	f.want(t, "an argument of i386 has 32 bits", call{nr: 136, arch: i386, args: [6]uint64{8}}, allow)
	f.want(t, "x32", call{nr: x32Bit}, errno(unix.ENOSYS))
	f.want(t, "arm64", call{nr: 63, arch: unix.AUDIT_ARCH_AARCH64}, kill)

	arm, err := Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: rules}, "arm64")
	if err != nil {
		t.Fatal(err)
	}
	arm.want(t, "read of arm64", call{nr: 63, arch: unix.AUDIT_ARCH_AARCH64}, allow)
	arm.want(t, "a large number of arm64", call{nr: x32Bit, arch: unix.AUDIT_ARCH_AARCH64}, errno(unix.ENOSYS))
}

// An engine's default profile decides as written and quickly.
func TestDefaultProfile(t *testing.T) {
	raw, err := os.ReadFile("testdata/podman.json")
	if err != nil {
		t.Fatal(err)
	}
	var p specs.LinuxSeccomp
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Fatal(err)
	}
	f := compile(t, &p)
	f.want(t, "read", call{nr: unix.SYS_READ}, allow)
	f.want(t, "execve", call{nr: unix.SYS_EXECVE}, allow)
	f.want(t, "bpf", call{nr: unix.SYS_BPF}, errno(unix.EPERM))
	f.want(t, "kexec_load", call{nr: unix.SYS_KEXEC_LOAD}, errno(unix.EPERM))
	f.want(t, "a denied call that is not named", call{nr: 1000}, errno(unix.ENOSYS))
	f.want(t, "personality(LINUX32)", call{nr: unix.SYS_PERSONALITY, args: [6]uint64{8}}, allow)
	f.want(t, "personality(7)", call{nr: unix.SYS_PERSONALITY, args: [6]uint64{7}}, errno(unix.ENOSYS))
	f.want(t, "an audit socket", call{nr: unix.SYS_SOCKET, args: [6]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT}}, errno(unix.EINVAL))
	f.want(t, "a route socket", call{nr: unix.SYS_SOCKET, args: [6]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}}, allow)

	worst := 0
	for nr := range uint32(500) {
		if _, steps := f.run(t, call{nr: nr, arch: amd64}); nr != unix.SYS_PERSONALITY && nr != unix.SYS_SOCKET {
			worst = max(worst, steps)
		}
	}
	t.Logf("%d instructions, of which a call runs %d at most", len(f.Program)/8, worst)
	if worst > 12 {
		t.Errorf("a system call costs %d instructions of the filter, want 12 at most", worst)
	}
}

// Distances that do not fit into a conditional jump, and a program that does not fit.
func TestLargeProfiles(t *testing.T) {
	many := func(n int) *specs.LinuxSeccomp {
		p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86}}
		for _, name := range []string{"read", "write", "mount", "openat"} {
			for i := range uint64(n) {
				p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{Names: []string{name}, Action: specs.ActAllow,
					Args: []specs.LinuxSeccompArg{arg(0, specs.OpEqualTo, 2*i+1<<33)}})
			}
		}
		return p
	}
	f := compile(t, many(100))
	for _, nr := range []uint32{unix.SYS_READ, unix.SYS_WRITE, unix.SYS_MOUNT, unix.SYS_OPENAT} {
		for i := range uint64(200) {
			want := errno(unix.EPERM)
			if i%2 == 0 {
				want = allow
			}
			f.want(t, "long chain", call{nr: nr, args: [6]uint64{i + 1<<33}}, want)
		}
	}
	f.want(t, "behind the chains", call{nr: 600}, errno(unix.ENOSYS))
	f.want(t, "the other architecture", call{nr: 3, arch: i386, args: [6]uint64{2}}, allow)
	if _, err := Compile(many(300), "amd64"); err == nil || !strings.Contains(err.Error(), "4096") {
		t.Errorf("a profile that is too large: %v", err)
	}
}
