// Command probe is the static program that the benchmark runs inside containers
// and on the host. It measures a few basic operations and prints one JSON object
// {"name": ..., "value": ...} per line. It compares and judges nothing.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// result is one line of the output.
type result struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

func main() {
	dir := flag.String("dir", "/data", "scratch `directory` on the file system under test")
	truth := flag.String("true", "/bin/true", "`program` to fork and execute")
	mib := flag.Int("io-mib", 128, "size of the file for sequential I/O, in MiB")
	forks := flag.Int("forks", 50, "number of fork+exec")
	files := flag.Int("files", 2000, "number of small files")
	peer := flag.String("network", "", "measure the network to `address:port` of the benchmark, and nothing else")
	length := flag.Duration("time", time.Second, "length of a measurement of the network")
	pings := flag.Int("pings", 500, "number of round trips")
	flag.Parse()
	out := json.NewEncoder(os.Stdout)
	emit := func(name string, value float64) { out.Encode(result{name, value}) }
	steps := []func() error{
		func() error { emit("getppid_ns", getppid()); return nil },
		func() error { return forkExec(emit, *truth, *forks) },
		func() error { return pageFault(emit) },
		func() error { return fileIO(emit, *dir, *mib) },
		func() error { return smallFiles(emit, *dir, *files) },
	}
	if *peer != "" {
		steps = []func() error{func() error { return network(emit, *peer, *length, *pings) }}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			fmt.Fprintln(os.Stderr, "probe:", err)
			os.Exit(1)
		}
	}
}

// getppid returns the best of three rates, in ns per call.
func getppid() float64 {
	best := 0.0
	for round := range 3 {
		n, begin := 0, time.Now()
		for time.Since(begin) < 150*time.Millisecond {
			for range 500 {
				unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
			}
			n += 500
		}
		if v := float64(time.Since(begin).Nanoseconds()) / float64(n); round == 0 || v < best {
			best = v
		}
	}
	return best
}

// forkExec emits the median time of fork, exec and wait in ms, after 5 warm-ups.
func forkExec(emit func(string, float64), program string, n int) error {
	var ms []float64
	for i := range n + 5 {
		begin := time.Now()
		if err := exec.Command(program).Run(); err != nil {
			return err
		}
		if i >= 5 {
			ms = append(ms, time.Since(begin).Seconds()*1e3)
		}
	}
	slices.Sort(ms)
	emit("forkexec_ms", ms[len(ms)/2])
	return nil
}

// pageFault emits the time to touch a fresh 4 KiB page, in µs.
func pageFault(emit func(string, float64)) error {
	const size = 64 << 20
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	defer unix.Munmap(mem)
	// Huge pages would turn 512 faults into one. A kernel without them refuses.
	_ = unix.Madvise(mem, unix.MADV_NOHUGEPAGE)
	step := os.Getpagesize()
	begin := time.Now()
	for i := 0; i < size; i += step {
		mem[i] = 1
	}
	emit("pagefault_us", time.Since(begin).Seconds()*1e6/float64(size/step))
	return nil
}

// fileIO emits MB/s (10^6 bytes) of the best of three rounds.
func fileIO(emit func(string, float64), dir string, mib int) error {
	var write, synced, read float64
	for range 3 {
		w, s, r, err := fileRound(filepath.Join(dir, "sequential"), mib)
		if err != nil {
			return err
		}
		write, synced, read = max(write, w), max(synced, s), max(read, r)
	}
	emit("write_mbs", write)
	emit("write_fsync_mbs", synced)
	emit("read_mbs", read)
	return nil
}

// fileRound writes, syncs and reads a new file in blocks of 64 KiB.
func fileRound(path string, mib int) (write, synced, read float64, err error) {
	block := make([]byte, 64<<10)
	for i := range block {
		block[i] = byte(i * 7)
	}
	f, err := os.Create(path)
	if err != nil {
		return 0, 0, 0, err
	}
	defer os.Remove(path)
	defer f.Close()
	mb := float64(mib) * (1 << 20) / 1e6
	begin := time.Now()
	for range mib * 16 {
		if _, err := f.Write(block); err != nil {
			return 0, 0, 0, err
		}
	}
	write = mb / time.Since(begin).Seconds()
	if err := f.Sync(); err != nil {
		return 0, 0, 0, err
	}
	synced = mb / time.Since(begin).Seconds()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, 0, 0, err
	}
	begin = time.Now()
	for {
		if _, err := f.Read(block); err == io.EOF {
			break
		} else if err != nil {
			return 0, 0, 0, err
		}
	}
	return write, synced, mb / time.Since(begin).Seconds(), nil
}

// smallFiles emits the time in ms to create (512 bytes each), stat and read n
// files; their removal is not counted.
func smallFiles(emit func(string, float64), dir string, n int) error {
	sub, err := os.MkdirTemp(dir, "small")
	if err != nil {
		return err
	}
	defer os.RemoveAll(sub)
	name := func(i int) string { return filepath.Join(sub, strconv.Itoa(i)) }
	begin := time.Now()
	for i := range n {
		if err := os.WriteFile(name(i), make([]byte, 512), 0o600); err != nil {
			return err
		}
	}
	before := time.Now()
	for i := range n {
		if _, err := os.Stat(name(i)); err != nil {
			return err
		}
	}
	stat := time.Since(before)
	for i := range n {
		if _, err := os.ReadFile(name(i)); err != nil {
			return err
		}
	}
	emit("smallfiles_ms", time.Since(begin).Seconds()*1e3)
	emit("stat_us", stat.Seconds()*1e6/float64(n))
	return nil
}
