package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kata/image"
	"kata/test/terminal"
)

// kataRun runs `kata run` with a data directory of its own, which must be empty
// afterwards.
func kataRun(h *host, args ...string) (*exec.Cmd, string) {
	h.t.Helper()
	data := h.t.TempDir()
	c := h.cmd("run")
	c.Path = filepath.Join(filepath.Dir(runtimeBin), "kata")
	c.Args = append(c.Args, append([]string{"--data", data}, args...)...)
	return c, data
}

func (h *host) kataRun(stdin string, args ...string) result {
	h.t.Helper()
	c, data := kataRun(h, append([]string{"--rm"}, args...)...)
	c.Stdin = strings.NewReader(stdin)
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	r := result{c.Args, "", "", exitCode(h.t, c.Run())}
	r.stdout, r.stderr = out.String(), errs.String()
	left, err := filepath.Glob(filepath.Join(data, "containers", "*"))
	if err != nil || len(left) > 0 {
		h.t.Errorf("left in the data directory: %v %v", left, err)
	}
	return r
}

func imageFile(t *testing.T, cfg image.Config) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := image.WriteOCIArchive(f, templateFS, cfg); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func TestKataRunImage(t *testing.T) {
	h := newHost(t)
	img := imageFile(t, image.Config{Env: []string{"COLOUR=blue", "PATH=/bin"}, Entrypoint: []string{"/bin/sh", "-c"},
		Cmd: []string{"echo default; exit 9"}, WorkingDir: "/tmp"})
	r := h.kataRun("", img)
	equal(t, "default command", r.stdout, "default\n")
	equal(t, "exit code", r.code, 9)

	shared := t.TempDir()
	writeFile(t, filepath.Join(shared, "in"), "from the host\n")
	r = h.kataRun("typed\n", "-i", "-e", "COLOUR=red", "-e", "SHAPE=round", "-w", "/etc", "-u", "1234:5678", "--hostname", "box",
		"-v", shared+":/mnt/data:ro", "-v", shared+":/mnt/rw", "--memory", "100m", "--cpus", "0.5", img,
		`echo $COLOUR $SHAPE; pwd; id -u; id -g; hostname; cat /mnt/data/in; cat; touch /mnt/data/no || echo readonly; cat /sys/fs/cgroup/memory.max`)
	contains(t, "output", r.stdout, "red round\n/etc\n1234\n5678\nbox\nfrom the host\ntyped\nreadonly\n104857600\n")
	equal(t, "exit code", r.code, 0)

	r = h.kataRun("not read\n", img, "cat; echo end")
	equal(t, "without -i", r.stdout, "end\n")
}

func TestKataRunRootfsAndBundle(t *testing.T) {
	h := newHost(t)
	dir := bundle(t, script("echo bundle"))
	r := h.kataRun("", "--rootfs", filepath.Join(dir, "rootfs"), "echo", "-it", "stays")
	equal(t, "the command's own flags", r.stdout, "-it stays\n")
	r = h.kataRun("", "--bundle", dir)
	equal(t, "bundle", r.stdout, "bundle\n")
	r = h.kataRun("", "--bundle", dir, "--timing", "echo", "other")
	equal(t, "bundle with a command", r.stdout, "other\n")
	contains(t, "timing", r.stderr, "isolation  software", "prepare", "VMM start", "kernel", "agent", "container", "memory")
}

func TestKataRunTerminal(t *testing.T) {
	h := newHost(t)
	term, tty := terminal.Open(t)
	c, _ := kataRun(h, "--rm", "-it", "--rootfs", filepath.Join(bundle(t), "rootfs"), "sh")
	terminal.Attach(c, tty)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	term.Type(t, "tty; exit 3\n")
	term.Expect(t, "/dev/pts/0\r\n")
	equal(t, "exit code", exitCode(t, c.Wait()), 3)
}

func TestKataRunBadInput(t *testing.T) {
	h := newHost(t)
	rootfs := filepath.Join(bundle(t), "rootfs")
	text := filepath.Join(t.TempDir(), "text")
	writeFile(t, text, strings.Repeat("this is no image\n", 100))
	for name, c := range map[string]struct {
		args []string
		code int
		part string
	}{
		"nothing to run":  {nil, 1, "--rootfs DIR"},
		"both":            {[]string{"--rootfs", rootfs, "--bundle", rootfs}, 1, "exclude"},
		"no such image":   {[]string{"/no/such.tar"}, 1, "/no/such.tar"},
		"no image":        {[]string{text}, 1, "not a container image"},
		"volume":          {[]string{"-v", "nonsense", "--rootfs", rootfs}, 1, "-v \"nonsense\""},
		"volume's source": {[]string{"-v", "/no/such:/x", "--rootfs", rootfs}, 1, "/no/such"},
		"memory":          {[]string{"-m", "much", "--rootfs", rootfs}, 1, "--memory"},
		"cpus":            {[]string{"--cpus", "-1", "--rootfs", rootfs}, 1, "--cpus"},
		"user":            {[]string{"-u", "nobody-here", "--rootfs", rootfs}, 1, "nobody-here"},
		"flag":            {[]string{"--no-such-flag"}, 1, "no-such-flag"},
		"terminal":        {[]string{"-t", "--rootfs", rootfs}, 1, "terminal"},
		"no command":      {[]string{"--rootfs", rootfs, "no-such-command"}, 127, "executable file not found"},
		"not executable":  {[]string{"--rootfs", rootfs, "/etc/passwd"}, 126, "permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			r := h.kataRun("", c.args...)
			equal(t, "exit code", r.code, c.code)
			contains(t, "error", r.stderr, c.part)
			equal(t, "lines of error", strings.Count(r.stderr, "\n"), 1)
		})
	}
}

func TestKataVersion(t *testing.T) {
	h := newHost(t)
	c := h.cmd("version")
	c.Path = filepath.Join(filepath.Dir(runtimeBin), "kata")
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	contains(t, "version", string(out), "kata version", "spec: 1.")
}
