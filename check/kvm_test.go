package check

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	intel     = "processor\t: 0\nflags\t\t: fpu vmx sse\nvmx flags\t: ept\n"
	noFlag    = "processor\t: 0\nflags\t\t: fpu sse svmx\nvmx flags\t: vnmi\n"
	guestCPU  = "processor\t: 0\nflags\t\t: fpu hypervisor sse\n"
	nestedCPU = "flags : fpu hypervisor svm\n"
)

// fake returns a host with trees of its own, in which KVM works: its devices are
// plain files.
func fake(t *testing.T, cpu string) Host {
	t.Helper()
	h := Host{Root: t.TempDir(), Arch: "amd64", limit: time.Second}
	h.ioctl = func(_ int, request uint) (int, error) {
		if request == kvmGetAPIVersion {
			return kvmAPIVersion, nil
		}
		return unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	for name, text := range map[string]string{kvmDevice: "", VhostVsock: "", VhostNet: "", cpuinfo: cpu} {
		if err := os.MkdirAll(filepath.Dir(h.path(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(h.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func TestUsable(t *testing.T) {
	for _, cpu := range []string{intel, "flags : svm\n", nestedCPU} {
		if r := fake(t, cpu).KVM(); r != nil {
			t.Errorf("%q: %v", cpu, r)
		}
	}
	h := fake(t, "Features : fp asimd\n")
	h.Arch = "arm64"
	if r := h.KVM(); r != nil {
		t.Errorf("arm64: %v", r)
	}
}

func TestReasons(t *testing.T) {
	remove := func(h *Host) { os.Remove(h.path(kvmDevice)) }
	refuse := func(failing uint, err error) func(*Host) {
		return func(h *Host) {
			works := h.ioctl
			h.ioctl = func(fd int, request uint) (int, error) {
				if request == failing {
					return -1, err
				}
				return works(fd, request)
			}
		}
	}
	for name, tt := range map[string]struct {
		cpuinfo       string
		change        func(*Host)
		kind          Kind
		cause, remedy string
		wraps         error
	}{
		"module not loaded": {intel, remove, KVMAbsent, "/dev/kvm does not exist", "load kvm_intel or kvm_amd", os.ErrNotExist},
		"module in a guest": {nestedCPU, remove, KVMAbsent, "/dev/kvm does not exist", "load kvm_intel or kvm_amd", os.ErrNotExist},
		"firmware":          {noFlag, remove, KVMAbsent, "neither VMX nor SVM", "firmware", os.ErrNotExist},
		"nested is off":     {guestCPU, remove, KVMNestedOff, "nested virtualization is off", "in the hypervisor that runs this host", os.ErrNotExist},
		"no /proc": {intel, func(h *Host) { remove(h); os.RemoveAll(h.path("/proc")) }, KVMAbsent, "does not exist",
			"load kvm_intel", os.ErrNotExist},
		"absent on arm64": {guestCPU, func(h *Host) { remove(h); h.Arch = "arm64" }, KVMAbsent, "does not exist", "pass the device in", os.ErrNotExist},
		"not KVM":         {intel, func(h *Host) { h.ioctl = unix.IoctlRetInt }, KVMBroken, "does not answer", "mknod /dev/kvm", unix.ENOTTY},
		"old API":         {intel, func(h *Host) { h.ioctl = func(int, uint) (int, error) { return 11, nil } }, KVMOldAPI, "version 11, not 12", "Linux 2.6.22", nil},
		"no VM":           {intel, refuse(kvmCreateVM, unix.EBUSY), KVMNoVM, "no virtual machine", "another hypervisor", unix.EBUSY},
		"no VMX":          {noFlag, func(*Host) {}, KVMNoExtension, "neither VMX nor SVM", "software isolation", nil},
		"no VMX in a guest": {guestCPU, func(h *Host) { refuse(kvmCreateVM, errors.New("must not be tried"))(h) }, KVMNoExtension,
			"neither VMX nor SVM", "nested virtualization", nil},
		"PVM":      {guestCPU, func(h *Host) { os.MkdirAll(h.path(pvmModule), 0o700) }, KVMNoExtension, "kvm_pvm", "software isolation", nil},
		"no flags": {"processor : 0\n", func(*Host) {}, KVMNoExtension, "cannot be seen", "firmware", nil},
		"no file":  {intel, func(h *Host) { os.Remove(h.path(cpuinfo)) }, KVMNoExtension, "cannot be seen", "firmware", os.ErrNotExist},
		"dir": {intel, func(h *Host) { remove(h); os.Mkdir(h.path(kvmDevice), 0o700) }, KVMBroken,
			"cannot be opened", "kernel log", unix.EISDIR},
		"FIFO": {intel, func(h *Host) {
			remove(h)
			syscall.Mkfifo(h.path(kvmDevice), 0o600)
			h.ioctl = unix.IoctlRetInt
		}, KVMBroken, "does not answer", "mknod", unix.ENOTTY},
	} {
		t.Run(name, func(t *testing.T) {
			h := fake(t, tt.cpuinfo)
			tt.change(&h)
			r := h.KVM()
			if r == nil || r.Kind != tt.kind || !strings.Contains(r.Cause, tt.cause) || !strings.Contains(r.Remedy, tt.remedy) {
				t.Fatalf("got %+v", r)
			}
			if tt.wraps != nil && !errors.Is(r, tt.wraps) {
				t.Errorf("%v does not wrap %v", r.Err, tt.wraps)
			}
			if !strings.Contains(r.Error(), r.Remedy) || strings.Contains(r.Cause, h.Root) {
				t.Errorf("%q", r.Error())
			}
		})
	}
}

// asNobody calls f with the rights over files of a user who owns none.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f() // the files' modes do for an ordinary user
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock: the thread ends
		if err := unix.Setfsuid(65534); err != nil {
			t.Error(err)
		}
		f()
	}()
	<-done
}

func TestPermission(t *testing.T) {
	h := fake(t, intel)
	for _, name := range []string{kvmDevice, VhostNet} {
		if err := os.Chmod(h.path(name), 0); err != nil {
			t.Fatal(err)
		}
	}
	os.Chmod(h.Root, 0o755)
	asNobody(t, func() {
		if r := h.probeKVM(); r == nil || r.Kind != KVMPermission || !errors.Is(r, os.ErrPermission) || !strings.Contains(r.Remedy, "group") {
			t.Errorf("KVM: %+v", r)
		}
	})
	for _, err := range []error{unix.EACCES, unix.EPERM} {
		if r := h.openReason(err); r.Kind != KVMPermission || !errors.Is(r, os.ErrPermission) {
			t.Errorf("%v: %+v", err, r)
		}
		if r := vhostReason(VhostNet, err); r.Kind != VhostPermission || !errors.Is(r, os.ErrPermission) {
			t.Errorf("%v: %+v", err, r)
		}
	}
	if r := h.openReason(unix.ENXIO); r.Kind != KVMAbsent {
		t.Errorf("ENXIO: %+v", r)
	}
}

func TestNeverHangs(t *testing.T) {
	h := fake(t, intel)
	h.limit = 20 * time.Millisecond
	release := make(chan struct{})
	h.ioctl = func(int, uint) (int, error) { <-release; return 0, unix.EIO }
	begin := time.Now()
	r := h.KVM()
	close(release)
	if r == nil || r.Kind != KVMTimeout || time.Since(begin) > 5*time.Second {
		t.Errorf("got %+v after %v", r, time.Since(begin))
	}
	if l := This().limit; l <= 0 || l >= time.Second {
		t.Errorf("the limit is %v, promised is less than a second", l)
	}
}

func TestVhost(t *testing.T) {
	h := fake(t, intel)
	for device, module := range map[string]string{VhostVsock: "vhost_vsock", VhostNet: "vhost_net"} {
		if r := h.Vhost(device); r != nil {
			t.Errorf("%s: %v", device, r)
		}
		os.Remove(h.path(device))
		if r := h.Vhost(device); r == nil || r.Kind != VhostAbsent || !strings.HasPrefix(r.Cause, device+" does not exist") || !strings.Contains(r.Remedy, module) {
			t.Errorf("%s: %+v", device, r)
		}
		os.Mkdir(h.path(device), 0o700)
		if r := h.Vhost(device); r == nil || r.Kind != VhostBroken || !errors.Is(r, unix.EISDIR) {
			t.Errorf("%s: %+v", device, r)
		}
	}
	if r := vhostReason(VhostNet, unix.ENODEV); r.Kind != VhostAbsent {
		t.Errorf("ENODEV: %+v", r)
	}
}

func TestTun(t *testing.T) {
	h := fake(t, intel)
	if r := h.Tun(); r == nil || r.Kind != TunAbsent || r.Remedy == "" {
		t.Errorf("no device: %+v", r)
	}
	if err := os.MkdirAll(h.path("/dev/net"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.path(tunDevice), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := h.Tun(); r == nil || r.Kind != TunBroken || !errors.Is(r, unix.ENOTTY) {
		t.Errorf("a file in its place: %+v", r)
	}
	if r := tunReason(unix.EPERM); r.Kind != TunPermission {
		t.Errorf("EPERM: %+v", r)
	}
}

// TestThisMachine compares the answers with what grep and test find out.
func TestThisMachine(t *testing.T) {
	begin := time.Now()
	r := This().KVM()
	took := time.Since(begin)
	t.Logf("after %v: %v", took, r)
	if again := KVM(); (again == nil) != (r == nil) || (r != nil && again.Kind != r.Kind) {
		t.Errorf("%v, and then %v", r, again)
	}
	if r != nil && (r.Cause == "" || r.Remedy == "") {
		t.Errorf("incomplete: %+v", r)
	}
	succeeds := func(name string, args ...string) bool { return exec.Command(name, args...).Run() == nil }
	for _, device := range []string{VhostVsock, VhostNet} {
		if r := This().Vhost(device); (r == nil || r.Kind != VhostAbsent) != succeeds("test", "-c", device) {
			t.Errorf("%s: %v", device, r)
		}
	}
	node := succeeds("test", "-e", "/dev/kvm")
	if !node && (r == nil || r.Kind != KVMAbsent && r.Kind != KVMNestedOff) {
		t.Errorf("there is no /dev/kvm, but %+v", r)
	}
	if runtime.GOARCH != "amd64" {
		return
	}
	extension := succeeds("grep", "-qwE", "^flags.*[[:space:]](vmx|svm)", "/proc/cpuinfo")
	virtual := succeeds("grep", "-qwE", "^flags.*[[:space:]]hypervisor", "/proc/cpuinfo")
	switch {
	case !extension && r == nil:
		t.Error("usable without VMX and SVM")
	case extension && r != nil && (r.Kind == KVMNoExtension || r.Kind == KVMNestedOff):
		t.Errorf("%v, although cpuinfo lists an extension", r)
	case !extension && !node && (r.Kind == KVMNestedOff) != virtual:
		t.Errorf("%v; a hypervisor's CPU: %v", r, virtual)
	}
}
