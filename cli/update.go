package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/oci"
	"kata/sandbox/proxy"
)

// number is a flag that knows whether it was given.
type number[T any] struct {
	value *T
	parse func(string) (T, error)
}

func (n *number[T]) String() string { return "" }

func (n *number[T]) Set(s string) error {
	v, err := n.parse(s)
	if err == nil {
		n.value = &v
	}
	return err
}

func unsigned(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) }

func signed(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }

// bytesOf reads a size: a number of bytes, or one with k, m, g or t.
func bytesOf(s string) (int64, error) {
	digits := strings.TrimRight(strings.ToLower(s), "ib")
	shift := 0
	if digits != "" {
		if i := strings.IndexByte("kmgt", digits[len(digits)-1]); i >= 0 {
			digits, shift = digits[:len(digits)-1], 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > math.MaxInt64>>shift || n < 0 && shift > 0 {
		return 0, fmt.Errorf("%q is not a size like 64m", s)
	}
	return n << shift, nil
}

// updateFlags are runc's.
type updateFlags struct {
	resources                        string
	period, shares, burst, rtPeriod  number[uint64]
	quota, rtRuntime, idle, pids     number[int64]
	memory, reservation, swap        number[int64]
	kernel, kernelTCP                number[int64]
	weight                           number[uint64]
	cpus, mems, cacheSchema, bandwid string
}

func (u *updateFlags) register(fs *flag.FlagSet) {
	for _, name := range []string{"resources", "r"} {
		fs.StringVar(&u.resources, name, "", "file with the limits as JSON, or - for standard input; the other flags are ignored then")
	}
	for name, n := range map[string]*number[uint64]{"cpu-period": &u.period, "cpu-share": &u.shares, "cpu-burst": &u.burst,
		"cpu-rt-period": &u.rtPeriod, "blkio-weight": &u.weight} {
		n.parse = unsigned
		fs.Var(n, name, "as linux.resources has it")
	}
	for name, n := range map[string]*number[int64]{"cpu-quota": &u.quota, "cpu-rt-runtime": &u.rtRuntime, "cpu-idle": &u.idle, "pids-limit": &u.pids} {
		n.parse = signed
		fs.Var(n, name, "as linux.resources has it; -1 is no limit")
	}
	for name, n := range map[string]*number[int64]{"memory": &u.memory, "memory-reservation": &u.reservation, "memory-swap": &u.swap,
		"kernel-memory": &u.kernel, "kernel-memory-tcp": &u.kernelTCP} {
		n.parse = bytesOf
		fs.Var(n, name, "bytes, or with k, m, g; -1 is no limit")
	}
	fs.StringVar(&u.cpus, "cpuset-cpus", "", "CPUs of the host")
	fs.StringVar(&u.mems, "cpuset-mems", "", "memory nodes of the host")
	fs.StringVar(&u.cacheSchema, "l3-cache-schema", "", "not available in a virtual machine")
	fs.StringVar(&u.bandwid, "mem-bw-schema", "", "not available in a virtual machine")
}

func cmdUpdate(a *app, args []string) error {
	fs := newFlags("update")
	var u updateFlags
	u.register(fs)
	id, err := oneID(fs, args)
	if err != nil {
		return err
	}
	r, err := u.build()
	if err != nil {
		return fmt.Errorf("update: %w", err)
	}
	_, err = a.call(id, &proxy.Request{Op: proxy.Update, Resources: r})
	return err
}

func (u *updateFlags) build() (*specs.LinuxResources, error) {
	if u.resources != "" {
		return readResources(u.resources)
	}
	if u.cacheSchema != "" || u.bandwid != "" {
		return nil, errors.New("linux.intelRdt: not available in a virtual machine")
	}
	r := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: u.memory.value, Reservation: u.reservation.value, Swap: u.swap.value,
			//lint:ignore SA1019 deprecated limits are checked as well
			Kernel: u.kernel.value, KernelTCP: u.kernelTCP.value},
		CPU: &specs.LinuxCPU{Shares: u.shares.value, Quota: u.quota.value, Period: u.period.value, Burst: u.burst.value, Idle: u.idle.value,
			RealtimeRuntime: u.rtRuntime.value, RealtimePeriod: u.rtPeriod.value, Cpus: u.cpus, Mems: u.mems},
	}
	if u.pids.value != nil {
		r.Pids = &specs.LinuxPids{Limit: u.pids.value}
	}
	if w := u.weight.value; w != nil {
		if *w > 1000 {
			return nil, fmt.Errorf("--blkio-weight %d: is not between 10 and 1000", *w)
		}
		r.BlockIO = &specs.LinuxBlockIO{Weight: new(uint16(*w))}
	}
	return r, oci.ValidateResources(r)
}

func readResources(name string) (*specs.LinuxResources, error) {
	in := os.Stdin
	if name != "-" {
		f, err := os.Open(filepath.Clean(name))
		if err != nil {
			return nil, fmt.Errorf("--resources: %w", err)
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, oci.MaxConfigSize))
	if err != nil {
		return nil, fmt.Errorf("--resources: %w", err)
	}
	return oci.DecodeResources(raw)
}
