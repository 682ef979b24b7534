package engines

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// peer is the same installation with runc.
func (p podman) peer() podman {
	at := slices.Index(p.flags, "--runtime")
	p.flags = append(slices.Clone(p.flags[:at]), "--runtime", "runc")
	return p
}

// TestPodmanSame runs containers with runc as well: both must print the same and end
// with the same exit code.
func TestPodmanSame(t *testing.T) {
	p := newPodman(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	p.ok("secret", "create", "word", write("secret", "hush"))
	defer p.do("secret", "rm", "word")
	env := write("env", "ONE=1\nTWO=two words\n")
	profile := write("seccomp.json", `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}`)

	const caps = "grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status"
	const writable = "for d in / /srv /tmp /run /var/tmp /dev/shm; do touch $d/x 2>/dev/null && echo $d; done; true"
	for name, c := range map[string]struct {
		flags   []string
		command string
	}{
		"user":           {[]string{"--user", "1000:1000", "--group-add", "50", "--group-add", "60"}, "id -u; id -g; id -G"},
		"names":          {[]string{"--hostname", "there", "--add-host", "peer:10.1.2.3"}, "hostname; grep peer /etc/hosts"},
		"environment":    {[]string{"--env-file", env, "--env", "THREE=3", "--workdir", "/srv"}, "pwd; echo $ONE, $TWO, $THREE"},
		"sizes":          {[]string{"--shm-size", "1m", "--tmpfs", "/srv:size=64k,noexec"}, "df -k /dev/shm /srv | awk '{print $2, $6}'; cp /bin/busybox /dev/shm/true && /dev/shm/true; grep -c ' /srv .*noexec' /proc/mounts"},
		"limits":         {[]string{"--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit", "nproc=300:400"}, "grep -E 'core|open files|processes' /proc/self/limits"},
		"sysctl":         {[]string{"--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "kernel.msgmax=4096"}, "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax"},
		"capabilities":   {[]string{"--cap-drop", "all", "--cap-add", "net_raw,chown"}, caps},
		"privileges":     {[]string{"--cap-add", "sys_admin", "--user", "1000", "--security-opt", "no-new-privileges", "--security-opt", "seccomp=unconfined"}, caps},
		"seccomp":        {[]string{"--security-opt", "seccomp=" + profile}, "mkdir /srv/new 2>&1; echo $?"},
		"init":           {[]string{"--init"}, "cat /proc/1/comm; kill -9 $$"},
		"read-only":      {[]string{"--read-only"}, writable},
		"no tmpfs":       {[]string{"--read-only", "--read-only-tmpfs=false"}, writable},
		"secret":         {[]string{"--user", "1000", "--secret", "word,uid=1000,mode=0400", "--secret", "word,type=env,target=WORD"}, "stat -c '%u %a' /run/secrets/word; cat /run/secrets/word; echo $WORD"},
		"signalled":      {nil, "kill -TERM $$; sleep 1; exit 3"},
		"not executable": {[]string{"--entrypoint", "/etc/passwd"}, ""},
		"a directory":    {[]string{"--entrypoint", "/etc"}, ""},
		"missing":        {[]string{"--entrypoint", "/no/such/command"}, ""},
		"no such user":   {[]string{"--user", "nobody-here"}, "true"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"run", "--rm", "--network", "none"}, c.flags...)
			if args = append(args, p.image); c.command != "" {
				args = append(args, "sh", "-c", c.command)
			}
			p.t = t
			out, code := p.do(args...)
			want, wantCode := p.peer().do(args...)
			// What goes wrong before the command runs is told in each runtime's words.
			if code != wantCode || code < 125 && !sameLines(out, want) {
				t.Errorf("podman %s: exit code %d, %q; with runc %d, %q", strings.Join(args, " "), code, out, wantCode, want)
			}
		})
	}
}

// sameLines says whether two outputs have the same lines. An engine passes on standard
// output and standard error by different ways, so that the order of lines says nothing.
func sameLines(a, b string) bool {
	lines, others := strings.Split(a, "\n"), strings.Split(b, "\n")
	slices.Sort(lines)
	slices.Sort(others)
	return slices.Equal(lines, others)
}
