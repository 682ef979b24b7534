package network

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"
)

// pair is two namespaces with a veth pair between them: 10.1.0.2 in the first, 10.1.0.1
// in the other.
func pair(t *testing.T) (pod, peer *Namespace) {
	t.Helper()
	pod, peer = namespace(t), namespace(t)
	ip(t, pod, fmt.Sprintf("link add name a type veth peer name b netns /proc/%d/fd/%d", os.Getpid(), peer.file.Fd()),
		"addr add 10.1.0.2/24 dev a", "link set dev a up", "link set dev lo up")
	ip(t, peer, "addr add 10.1.0.1/24 dev b", "link set dev b up", "link set dev lo up")
	t.Cleanup(func() { pod.Close(); peer.Close() })
	return pod, peer
}

func within(t *testing.T, n *Namespace, f func() error) {
	t.Helper()
	if err := n.inside(f); err != nil {
		t.Fatal(err)
	}
}

// served has the host's stack in the pod take connections, and returns what has the peer
// try to make one.
func served(t *testing.T, pod, peer *Namespace) (connect func(patience time.Duration) error) {
	t.Helper()
	var l net.Listener
	within(t, pod, func() (err error) { l, err = net.Listen("tcp4", "10.1.0.2:80"); return err })
	t.Cleanup(func() { l.Close() })
	return func(patience time.Duration) error {
		return peer.inside(func() error {
			c, err := net.DialTimeout("tcp4", "10.1.0.2:80", patience)
			if err == nil {
				c.Close()
			}
			return err
		})
	}
}

// The host's stack in the namespace hears nothing but what answers it.
func TestQuiet(t *testing.T) {
	pod, peer := pair(t)
	list, err := pod.Interfaces()
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	connect := served(t, pod, peer)
	if err := connect(time.Minute); err != nil {
		t.Fatalf("before: %v", err)
	}
	held, err := pod.hold(list[0].Index, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := connect(300 * time.Millisecond); err == nil {
		t.Error("the host's stack takes a connection")
	}
	answered(t, pod, peer)
	held.letGo()
	if err := connect(time.Minute); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// answered has the host's stack in the pod ask the peer, which takes ARP and UDP.
func answered(t *testing.T, pod, peer *Namespace) {
	t.Helper()
	var echo net.PacketConn
	within(t, peer, func() (err error) { echo, err = net.ListenPacket("udp4", "10.1.0.1:5300"); return err })
	defer echo.Close()
	go func() {
		buf := make([]byte, 100)
		for {
			n, from, err := echo.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = echo.WriteTo(buf[:n], from)
		}
	}()
	ip(t, pod, "neigh flush all")
	within(t, pod, func() error {
		c, err := net.Dial("udp4", "10.1.0.1:5300")
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			return err
		}
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		return err
	})
}
