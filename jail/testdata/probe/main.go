// Command probe runs inside a jail and says what it finds there. It is for the
// jail's tests and does nothing else.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Facts must match the test's.
type Facts struct {
	UID, PID, PPID              int
	Effective, Permitted, Bound uint64
	NoNewPrivs                  int
	Root                        []string
	Interfaces                  []string
	Open                        []int // descriptors
	CPUs, NoFile                int
	Personality                 uintptr
	Env                         []string
	// Errno of each thing that was tried, 0 if it was allowed.
	Errno map[string]int
}

func errno(err error) int {
	if e, ok := errors.AsType[unix.Errno](err); ok {
		return int(e)
	}
	if err != nil {
		return -1
	}
	return 0
}

func raw(nr, a, b uintptr) error {
	if _, _, e := unix.RawSyscall(nr, a, b, 0); e != 0 {
		return e
	}
	return nil
}

func write(path string, n int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	for range n {
		if _, err := f.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

func tries() map[string]int {
	// clone with a stack of its own would return twice; the kernel looks at the
	// flags' contradiction only after the filter did.
	const contradiction = unix.CLONE_SIGHAND // without CLONE_VM: EINVAL
	return map[string]int{
		"mount":        errno(unix.Mount("x", "/", "tmpfs", 0, "")),
		"remount":      errno(unix.Mount("", "/ro", "", unix.MS_REMOUNT|unix.MS_BIND, "")),
		"umount":       errno(unix.Unmount("/ro", unix.MNT_DETACH)),
		"chroot":       errno(unix.Chroot("/")),
		"unshare":      errno(raw(unix.SYS_UNSHARE, unix.CLONE_NEWUSER, 0)),
		"unshare time": errno(raw(unix.SYS_UNSHARE, unix.CLONE_NEWTIME, 0)),
		"unshare more": errno(raw(unix.SYS_UNSHARE, unix.CLONE_FS|unix.CLONE_NEWNET, 0)),
		"unshare fs":   errno(raw(unix.SYS_UNSHARE, unix.CLONE_FS, 0)),
		"clone user":   errno(raw(unix.SYS_CLONE, unix.CLONE_NEWUSER|contradiction, 0)),
		"clone net":    errno(raw(unix.SYS_CLONE, unix.CLONE_NEWNET|contradiction, 0)),
		"clone":        errno(raw(unix.SYS_CLONE, contradiction, 0)),
		"clone3":       errno(raw(unix.SYS_CLONE3, 0, 0)),
		"sethostname":  errno(unix.Sethostname([]byte("x"))),
		"mknod":        errno(unix.Mknod("/rw/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))),
		"write root":   errno(write("/new", 0)),
		"write ro":     errno(write("/ro/new", 0)),
		"write ro/sub": errno(write("/ro/sub/new", 0)),
		"write rw":     errno(write("/rw/new", 0)),
		"write tmpfs":  errno(write("/memory/new", 1)),
		"fill tmpfs":   errno(write("/memory/more", 64)),
		"chown":        errno(os.Chown("/rw/new", 1234, 1234)),
		"bpf":          errno(raw(unix.SYS_BPF, 0, 0)),
		// on no descriptor
		"ioctl":                   errno(raw(unix.SYS_IOCTL, ^uintptr(0), unix.LOOP_SET_FD)),
		"ioctl allowed":           errno(raw(unix.SYS_IOCTL, ^uintptr(0), unix.TCGETS|1<<32)),
		"ioctl of a type":         errno(raw(unix.SYS_IOCTL, ^uintptr(0), 0xaf01)),
		"ioctl of a type allowed": errno(raw(unix.SYS_IOCTL, ^uintptr(0), 0x4008ae01)),
	}
}

func facts() Facts {
	f := Facts{UID: os.Getuid(), PID: os.Getpid(), PPID: os.Getppid(), Env: os.Environ()}
	var data [2]unix.CapUserData
	_ = unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0])
	f.Effective = uint64(data[0].Effective) | uint64(data[1].Effective)<<32
	f.Permitted = uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32
	for c := range 64 {
		if r, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0); err == nil && r == 1 {
			f.Bound |= 1 << c
		}
	}
	f.NoNewPrivs, _ = unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	for fd := range 64 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			f.Open = append(f.Open, fd)
		}
	}
	entries, _ := os.ReadDir("/")
	for _, e := range entries {
		f.Root = append(f.Root, e.Name())
	}
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		f.Interfaces = append(f.Interfaces, i.Name)
	}
	var set unix.CPUSet
	_ = unix.SchedGetaffinity(0, &set)
	f.CPUs = set.Count()
	var lim unix.Rlimit
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &lim)
	f.NoFile = int(lim.Max)
	f.Personality, _, _ = unix.RawSyscall(unix.SYS_PERSONALITY, 0xffffffff, 0, 0)
	f.Errno = tries()
	return f
}

var hog [][]byte

func main() {
	switch os.Args[1] {
	case "facts":
		if err := json.NewEncoder(os.Stdout).Encode(facts()); err != nil {
			os.Exit(1)
		}
	case "exit":
		n, _ := strconv.Atoi(os.Args[2])
		os.Exit(n)
	case "sleep":
		fmt.Println("ready")
		time.Sleep(time.Hour)
	case "leave": // a child behind
		if _, err := os.StartProcess("/probe", []string{"/probe", "sleep"}, &os.ProcAttr{Files: []*os.File{nil, os.Stdout}}); err != nil {
			fmt.Println(err)
		}
	case "eat":
		for range 1 << 10 {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			hog = append(hog, b)
		}
	case "fork":
		for n := 0; ; n++ {
			if _, err := os.StartProcess("/probe", []string{"/probe", "sleep"}, &os.ProcAttr{}); err != nil || n > 1000 {
				fmt.Println(n, err)
				return
			}
		}
	case "x32":
		_, _, e := unix.RawSyscall(0x40000000|unix.SYS_GETPID, 0, 0, uintptr(unsafe.Pointer(nil)))
		fmt.Println("alive:", e)
	}
}
