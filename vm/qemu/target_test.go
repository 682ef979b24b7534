package qemu

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"kata/check"
	"kata/vm"
)

// host is what machines of the host's architecture are made with.
var host, _ = targetOf("", nil)

func foreign(t *testing.T) *target {
	t.Helper()
	for _, other := range targets {
		if other.foreign() {
			return other
		}
	}
	t.Fatal("there is no other architecture")
	return nil
}

func TestTargets(t *testing.T) {
	if host == nil || host.arch != runtime.GOARCH || host.foreign() || host.agentFile() != "" {
		t.Errorf("host: %+v", host)
	}
	if f := foreign(t); f.agentFile() != "kata-agent-"+f.arch || f.cpu(tcg) == "host" {
		t.Errorf("%+v", f)
	}
	_, err := targetOf("vax", nil)
	if u, ok := errors.AsType[*vm.Unavailable](err); !ok || !strings.Contains(u.Cause, "vax") || !strings.Contains(u.Remedy, runtime.GOARCH) {
		t.Errorf("%v", err)
	}
}

// TestMachineTypes: the settings choose among those of an architecture.
func TestMachineTypes(t *testing.T) {
	for _, tt := range []struct{ arch, machine, want string }{
		{"amd64", "", "microvm"}, {"amd64", "microvm", "microvm"}, {"amd64", "q35", "q35"}, {"arm64", "", "virt"}, {"arm64", "q35", "virt"},
	} {
		got, err := targetOf(tt.arch, map[string]string{"machine": tt.machine})
		if err != nil || got.name != tt.want {
			t.Errorf("%s, %q: %+v, %v", tt.arch, tt.machine, got, err)
		}
	}
	_, err := targetOf("amd64", map[string]string{"machine": "pc"})
	if u, ok := errors.AsType[*vm.Unavailable](err); !ok || u.Kind != check.Setting || !strings.Contains(u.Remedy, "q35") {
		t.Errorf("%v", err)
	}
}

// TestForeignIsEmulated: the host's KVM has nothing to do with it.
func TestForeignIsEmulated(t *testing.T) {
	f := foreign(t)
	for _, ask := range []string{"", "auto", "tcg"} {
		if accel, err := choose(f, map[string]string{"accelerator": ask}); accel != tcg || err != nil {
			t.Errorf("%q: %s, %v", ask, accel, err)
		}
	}
	_, err := choose(f, map[string]string{"accelerator": "kvm"})
	if u, ok := errors.AsType[*vm.Unavailable](err); !ok || u.Kind != check.Setting || !strings.Contains(u.Cause, f.arch) {
		t.Errorf("%v", err)
	}
}

func TestProbeWithoutForeignQEMU(t *testing.T) {
	defer func(dirs []string) { binaryDirs = dirs }(binaryDirs)
	binaryDirs = []string{t.TempDir()}
	f := foreign(t)
	caps, err := Driver{}.ProbeArch(f.arch, nil)
	if u, ok := errors.AsType[*vm.Unavailable](err); !ok || u.Kind != check.ProgramAbsent || !strings.HasPrefix(u.Cause, f.program) || !strings.Contains(u.Remedy, f.pkg) {
		t.Errorf("%v", err)
	}
	if caps.KernelFile != f.kernel || caps.AgentFile != f.agentFile() {
		t.Errorf("%+v", caps)
	}
}

// TestKernels: each target takes its own format and no other.
func TestKernels(t *testing.T) {
	image := make([]byte, 64)
	copy(image[56:], "ARM\x64")
	kernels := map[string][]byte{"amd64": someKernel(), "arm64": image}
	for of, content := range kernels {
		path := filepath.Join(t.TempDir(), "kernel")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, target := range targets {
			err := target.checkKernel(path)
			if (err == nil) != (of == target.arch) || err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("a kernel for %s, as one for %s: %v", of, target.arch, err)
			}
		}
	}
	for _, target := range targets {
		if err := target.checkKernel(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", target.arch, err)
		}
		empty := filepath.Join(t.TempDir(), "empty")
		if err := os.WriteFile(empty, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := target.checkKernel(empty); err == nil {
			t.Errorf("%s: an empty file passes for a kernel", target.arch)
		}
	}
}

// TestNetworkDevices: each has the descriptors that carry it, and those of the disks come
// after all of them.
func TestNetworkDevices(t *testing.T) {
	disk, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	s := vm.Spec{Name: "x", MemoryMiB: 128, VCPUs: 2, Disks: []vm.Disk{{File: disk}}}
	for i := range 2 {
		s.NICs = append(s.NICs, vm.NIC{MAC: net.HardwareAddr{2, 0, 0, 0, 0, byte(i)}})
	}
	for _, c := range []struct {
		carrier  carrier
		backends []string
		device   string
		disk     int
	}{
		{carrier{}, []string{"dgram,id=net0,local.type=fd,local.str=5", "dgram,id=net1,local.type=fd,local.str=6"}, ",mac=02:00:00:00:00:01", 7},
		{carrier{queues: 1}, []string{"tap,id=net0,fds=5", "tap,id=net1,fds=6"}, ",mac=02:00:00:00:00:01", 7},
		{carrier{queues: 2}, []string{"tap,id=net0,fds=5:6", "tap,id=net1,fds=7:8"}, ",mac=02:00:00:00:00:01,mq=on", 9},
		{carrier{queues: 2, vhost: true}, []string{"tap,id=net0,fds=5:6,vhost=on,vhostfds=7:8", "tap,id=net1,fds=9:10,vhost=on,vhostfds=11:12"}, ",mac=02:00:00:00:00:01,mq=on", 13},
	} {
		args := microvm.netArgs(s, c.carrier)
		for _, b := range c.backends {
			if !slices.Contains(args, b) {
				t.Errorf("%+v: no %s in %q", c.carrier, b, args)
			}
		}
		if last := args[len(args)-1]; last != "virtio-net-device,netdev=net1"+c.device {
			t.Errorf("%+v: the device is %s", c.carrier, last)
		}
		if n := diskFD(s, c.carrier); n != c.disk || lastFD(s, c.carrier) != n+1 {
			t.Errorf("%+v: the disk is %d, the state %d", c.carrier, n, lastFD(s, c.carrier))
		}
	}
	s.Options = map[string]string{"network": "relay"}
	if c := microvm.carries(s, tcg); c != (carrier{}) {
		t.Errorf("%+v, asked for the relay", c)
	}
}

func TestCommandLines(t *testing.T) {
	s := vm.Spec{Name: "x", MemoryMiB: 128, VCPUs: 1}
	for _, target := range targets {
		args := target.commandLine(s, tcg, single, 1234)
		i := slices.Index(args, "-machine")
		if args[i+1] != target.name+target.properties || slices.Contains(args, "-bios") != (len(target.firmware) > 0) {
			t.Errorf("%s: %q", target.arch, args)
		}
		if line := args[slices.Index(args, "-append")+1]; !strings.HasPrefix(line, strings.Join(target.line, " ")+" ") || strings.Contains(line, "=1234 ") != target.told {
			t.Errorf("%s: %q", target.arch, line)
		}
	}
}

// TestSaves: which machines are saved, and how that of an original differs.
func TestSaves(t *testing.T) {
	daemon := map[string]string{"share": virtiofs}
	for _, tt := range []struct {
		spec vm.Spec
		want string
	}{
		{vm.Spec{Arch: "amd64"}, ""}, {vm.Spec{Arch: "amd64", Options: daemon}, ""}, {vm.Spec{Arch: "arm64"}, ""},
		{vm.Spec{Arch: "amd64", Options: map[string]string{"share": virtiofs, "machine": q35.name}}, ""},
		{vm.Spec{Arch: "arm64", Options: daemon}, "virt with share = "}, {vm.Spec{Arch: "amd64", Disks: make([]vm.Disk, 1)}, "disks"},
	} {
		if err := saves(tt.spec); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.spec, err, tt.want)
		}
	}
	s := vm.Spec{Name: "x", MemoryMiB: 128, VCPUs: 1, Options: daemon}
	for _, target := range []*target{microvm, q35} {
		for k, want := range map[kind][2]bool{single: {true, false}, original: {false, true}, clone: {false, true}} {
			args := strings.Join(target.commandLine(s, tcg, k, 1234), " ")
			if got := [2]bool{strings.Contains(args, "vhost-user-fs"), strings.Contains(args, target.late.device)}; got != want {
				t.Errorf("%s, %v: device and port are there: %v, want %v", target.name, k, got, want)
			}
		}
	}
}
