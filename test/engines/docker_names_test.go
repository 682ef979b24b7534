package engines

import (
	"strings"
	"time"

	"kata/test/nameserver"
)

// named has a container print the address of a name, as its C library finds it.
func (d docker) named(client, name, want string) {
	d.t.Helper()
	var out string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if out, _ = d.do("exec", client, "sh", "-c", "ping -c 1 -W 5 "+name+" | sed -n 's/^PING [^ ]* (\\(.*\\)):.*/\\1/p'"); out == want+"\n" {
			return
		}
	}
	conf, _ := d.do("exec", client, "cat", "/etc/resolv.conf")
	d.t.Errorf("%s asks for %s: %q, want %s; its resolv.conf is\n%s", client, name, out, want, conf)
}

// dockerNames has containers of a user-defined network find each other by name, one
// that joins it later, and names that Docker asks others for.
func dockerNames(d docker) {
	d.ok("network", "create", "--subnet", "10.67.0.0/24", "--gateway", "10.67.0.1", "named")
	defer d.do("network", "rm", "named")
	outside, err := nameserver.Start("10.67.0.1:53", map[string][4]byte{"outside.test": {192, 0, 2, 1}})
	if err != nil {
		d.t.Fatal(err)
	}
	defer outside.Close()
	d.start("server", "--network", "named", "--network-alias", "alias", "--ip", "10.67.0.5", dockerImage, "sh", "-c", serve)
	d.start("client", "--network", "named", "--dns", "10.67.0.1", dockerImage, "sleep", "1000")
	d.start("later", dockerImage, "sleep", "1000")
	defer d.do("rm", "--force", "server", "client", "later")
	d.named("client", "server", "10.67.0.5")
	d.named("client", "alias", "10.67.0.5")
	d.from("client", "server")
	d.ok("network", "connect", "named", "later")
	d.named("later", "server", "10.67.0.5")
	d.named("client", "outside.test", "192.0.2.1")
}

// dockerTop lists what stands for the container's processes, and no other process of
// the host.
func dockerTop(d docker) {
	d.start("top", dockerImage, "sh", "-c", "sleep 1000 & sleep 1001")
	defer d.do("rm", "--force", "top")
	lines := strings.Split(strings.TrimSpace(d.ok("top", "top", "-o", "pid,args")), "\n")
	if id := d.inspect("top", ".Id"); len(lines) != 2 || !strings.Contains(lines[1], "kata-shim") || !strings.Contains(lines[1], id) {
		d.t.Errorf("docker top: %q", lines)
	}
	if out := d.ok("exec", "top", "ps", "-o", "args"); !strings.Contains(out, "sleep 1000\n") || !strings.Contains(out, "sleep 1001\n") {
		d.t.Errorf("ps in the container: %q", out)
	}
}
