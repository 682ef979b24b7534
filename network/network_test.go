package network

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// namespace makes a namespace for a test, set up by commands of ip(8).
func namespace(t *testing.T, commands ...string) *Namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	ns, err := Make()
	if err != nil {
		t.Fatal(err)
	}
	n, err := Open(ns)
	if err != nil {
		t.Fatal(err)
	}
	ip(t, n, commands...)
	return n
}

func ip(t *testing.T, n *Namespace, commands ...string) {
	t.Helper()
	for _, c := range commands {
		err := n.inside(func() error {
			out, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput()
			if err != nil {
				t.Errorf("ip %s: %s", c, out)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestInterfaces(t *testing.T) {
	n := namespace(t, "link add name a mtu 1400 type veth peer name b", "link add name br type bridge", "link set dev b master br",
		"addr add 10.1.0.2/24 brd + dev a", "addr add fd01::2/64 dev a nodad", "link set dev a up", "link set dev b up", "link set dev br up",
		"route add default via 10.1.0.1 metric 7", "route add 10.9.0.0/16 via 10.2.0.1 dev a onlink mtu 1300",
		"neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev a nud permanent")
	defer n.Close()
	list, err := n.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].Name != "a" && list[1].Name != "a" {
		t.Fatalf("want a and br, but not b, which the bridge owns; got %+v", list)
	}
	a := list[0]
	if a.Name != "a" {
		a = list[1]
	}
	if a.MTU != 1400 || !a.Up || len(a.MAC) != 6 {
		t.Errorf("got MTU %d, up %v, address %s", a.MTU, a.Up, a.MAC)
	}
	has := func(p string) bool {
		for _, x := range a.Addresses {
			if x.Prefix == netip.MustParsePrefix(p) {
				return true
			}
		}
		return false
	}
	if !has("10.1.0.2/24") || !has("fd01::2/64") {
		t.Errorf("addresses are %+v", a.Addresses)
	}
	if len(a.Neighbours) != 1 || a.Neighbours[0].Address != netip.MustParseAddr("10.1.0.9") {
		t.Errorf("neighbours are %+v", a.Neighbours)
	}
	checkRoutes(t, a.Routes)
}

func checkRoutes(t *testing.T, routes []Route) {
	t.Helper()
	byDestination := map[string]Route{}
	gateways := false
	for _, r := range routes {
		byDestination[r.Destination.String()] = r
		if gateways && !r.Gateway.IsValid() {
			t.Errorf("%v comes after a route by way of a gateway", r.Destination)
		}
		gateways = gateways || r.Gateway.IsValid()
	}
	if r := byDestination["0.0.0.0/0"]; r.Gateway != netip.MustParseAddr("10.1.0.1") || r.Metric != 7 {
		t.Errorf("the default route is %+v", r)
	}
	if r := byDestination["10.9.0.0/16"]; !r.OnLink || r.MTU != 1300 {
		t.Errorf("the route to 10.9.0.0/16 is %+v", r)
	}
	if r := byDestination["10.1.0.0/24"]; r.Gateway.IsValid() || r.Source != netip.MustParseAddr("10.1.0.2") {
		t.Errorf("the route to the network is %+v", r)
	}
}

func TestHostIsRefused(t *testing.T) {
	if _, err := OpenPath("/proc/thread-self/ns/net"); !errors.Is(err, ErrHost) {
		t.Errorf("got %v, want ErrHost", err)
	}
	if _, err := OpenPath("/proc/self/ns/uts"); err == nil || !strings.Contains(err.Error(), "no network namespace") {
		t.Errorf("got %v for a namespace of another type", err)
	}
	if _, err := OpenPath("/dev/null"); err == nil || !strings.Contains(err.Error(), "no network namespace") {
		t.Errorf("got %v for a file that is no namespace", err)
	}
}

func TestTakeover(t *testing.T) {
	n := namespace(t, "link add name a type veth peer name b", "addr add 10.1.0.2/24 dev a", "link set dev a up", "link set dev b up")
	ip(t, n, "link add name br type bridge", "link set dev b master br")
	to, err := NewTakeover(n, Packets)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if d := to.Devices(); len(d) != 2+Spares {
		t.Errorf("there are %d devices for two interfaces", len(d))
	}
	made := map[string]*Interface{}
	sync := func() {
		t.Helper()
		err := to.Sync(func(device net.HardwareAddr, i *Interface) error {
			made[device.String()] = i
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	sync()
	if len(made) != 2 {
		t.Errorf("the first Sync configured %d devices, want 2", len(made))
	}
	clear(made)
	sync()
	if len(made) != 0 {
		t.Errorf("a Sync without a change configured %d devices", len(made))
	}
	ip(t, n, "link add name c type veth peer name d", "addr add 10.2.0.2/24 dev c")
	done := make(chan error, 1)
	go func() { done <- to.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a new interface is not told")
	}
	sync()
	if len(made) != 2 {
		t.Errorf("a new pair of interfaces configured %d devices", len(made))
	}
	clear(made)
	ip(t, n, "link del dev c")
	sync()
	for device, i := range made {
		if i != nil {
			t.Errorf("device %s is %+v, but its interface has gone", device, i)
		}
	}
	if len(made) != 2 {
		t.Errorf("the end of a pair configured %d devices", len(made))
	}
}

func TestNoDeviceLeft(t *testing.T) {
	n := namespace(t)
	to, err := NewTakeover(n, Packets)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	for _, c := range []string{"a", "b", "c"} { // six interfaces, four devices
		ip(t, n, "link add name "+c+"0 type veth peer name "+c+"1")
	}
	err = to.Sync(func(net.HardwareAddr, *Interface) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "no network device left") {
		t.Errorf("got %v for more interfaces than devices", err)
	}
}

// TestOnDemand: a machine that can gets another device, with an address of its own.
func TestOnDemand(t *testing.T) {
	n := namespace(t)
	to, err := NewTakeover(n, Packets)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	first := len(to.Devices())
	for _, c := range []string{"a", "b", "c"} { // six interfaces
		ip(t, n, "link add name "+c+"0 type veth peer name "+c+"1")
	}
	refused := errors.New("no place")
	var added []Device
	to.OnDemand(func(d Device) error {
		if len(added) == 0 {
			added = append(added, d)
			return refused
		}
		added = append(added, d)
		return nil
	})
	configured := map[string]bool{}
	configure := func(mac net.HardwareAddr, _ *Interface) error {
		configured[mac.String()] = true
		return nil
	}
	if err := to.Sync(configure); !errors.Is(err, refused) {
		t.Errorf("%v, want %v", err, refused)
	}
	if err := to.Sync(configure); err != nil {
		t.Error(err)
	}
	if len(configured) != 6 || len(to.Devices()) != 6 || len(added) != 6-first+1 {
		t.Errorf("%d devices configured, the machine has %d; %d were asked for beside the first %d", len(configured), len(to.Devices()), len(added), first)
	}
}
