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

const intel = "processor\t: 0\nflags\t\t: fpu vmx sse\nvmx flags\t: ept\n"

// fake returns a host whose device is a plain file and whose KVM works.
func fake(t *testing.T, cpuinfo string) host {
	t.Helper()
	dir := t.TempDir()
	h := host{device: filepath.Join(dir, "kvm"), cpuinfo: filepath.Join(dir, "cpuinfo"), pvm: filepath.Join(dir, "pvm"),
		arch: "amd64", limit: time.Second}
	h.ioctl = func(_ int, request uint) (int, error) {
		if request == kvmGetAPIVersion {
			return kvmAPIVersion, nil
		}
		return unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	for path, text := range map[string]string{h.device: "", h.cpuinfo: cpuinfo} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func TestUsable(t *testing.T) {
	for _, cpuinfo := range []string{intel, "flags : svm\n"} {
		if r := fake(t, cpuinfo).kvm(); r != nil {
			t.Errorf("%q: %v", cpuinfo, r)
		}
	}
	h := fake(t, "Features : fp asimd\n")
	h.arch = "arm64"
	if r := h.kvm(); r != nil {
		t.Errorf("arm64: %v", r)
	}
}

func TestReasons(t *testing.T) {
	refuse := func(failing uint, err error) func(*host) {
		return func(h *host) {
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
		cpuinfo string
		change  func(*host)
		kind    Kind
		cause   string
		wraps   error
	}{
		"absent":   {intel, func(h *host) { os.Remove(h.device) }, KVMAbsent, "does not exist", os.ErrNotExist},
		"not KVM":  {intel, func(h *host) { h.ioctl = unix.IoctlRetInt }, KVMBroken, "does not answer", unix.ENOTTY},
		"old API":  {intel, func(h *host) { h.ioctl = func(int, uint) (int, error) { return 11, nil } }, KVMOldAPI, "version 11, not 12", nil},
		"no VM":    {intel, refuse(kvmCreateVM, unix.EBUSY), KVMNoVM, "no virtual machine", unix.EBUSY},
		"no VMX":   {"flags : fpu hypervisor svmx\nvmx flags : vnmi\n", func(*host) {}, KVMNoExtension, "neither VMX nor SVM", nil},
		"PVM":      {"flags : fpu\n", func(h *host) { os.Mkdir(h.pvm, 0o700) }, KVMNoExtension, "kvm_pvm", nil},
		"no flags": {"processor : 0\n", func(*host) {}, KVMNoExtension, "cannot be seen", nil},
		"no file":  {intel, func(h *host) { os.Remove(h.cpuinfo) }, KVMNoExtension, "cannot be seen", os.ErrNotExist},
		"dir":      {intel, func(h *host) { os.Remove(h.device); os.Mkdir(h.device, 0o700) }, KVMBroken, "cannot be opened", unix.EISDIR},
		"FIFO": {intel, func(h *host) {
			os.Remove(h.device)
			syscall.Mkfifo(h.device, 0o600)
			h.ioctl = unix.IoctlRetInt
		}, KVMBroken, "does not answer", unix.ENOTTY},
	} {
		t.Run(name, func(t *testing.T) {
			h := fake(t, tt.cpuinfo)
			tt.change(&h)
			r := h.kvm()
			if r == nil || r.Kind != tt.kind || !strings.Contains(r.Cause, tt.cause) || r.Remedy == "" {
				t.Fatalf("got %+v", r)
			}
			if tt.wraps != nil && !errors.Is(r, tt.wraps) {
				t.Errorf("%v does not wrap %v", r.Err, tt.wraps)
			}
			if !strings.Contains(r.Error(), r.Remedy) {
				t.Errorf("%q leaves the remedy out", r.Error())
			}
		})
	}
}

func TestPermission(t *testing.T) {
	h := fake(t, intel)
	for _, err := range []error{unix.EACCES, unix.EPERM} {
		if r := h.openReason(err); r.Kind != KVMPermission || !errors.Is(r, os.ErrPermission) {
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
	r := h.kvm()
	close(release)
	if r == nil || r.Kind != KVMTimeout || time.Since(begin) > 5*time.Second {
		t.Errorf("got %+v after %v", r, time.Since(begin))
	}
}

// TestThisMachine compares the answer with what grep finds in cpuinfo.
func TestThisMachine(t *testing.T) {
	begin := time.Now()
	r := KVM()
	t.Logf("after %v: %v", time.Since(begin), r)
	if r != nil && (r.Cause == "" || r.Remedy == "") {
		t.Errorf("incomplete: %+v", r)
	}
	if runtime.GOARCH != "amd64" {
		return
	}
	flags := exec.Command("grep", "-qwE", "^flags.*[[:space:]](vmx|svm)", "/proc/cpuinfo").Run() == nil
	if !flags && r == nil {
		t.Error("usable without VMX and SVM")
	}
	if flags && r != nil && r.Kind == KVMNoExtension {
		t.Error("no extension although cpuinfo lists one")
	}
}
