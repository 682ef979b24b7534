package main

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// block is the size of the reads and writes.
const block = 128 << 10

// patience is how long a single call may take.
var patience = unix.Timeval{Sec: 10}

// network emits the throughput of one TCP connection in both directions, each for
// about d, in MB/s (10^6 bytes), and the median of n round trips, in µs. It uses
// blocking sockets: what is measured is the network, not Go's poller.
func network(emit func(string, float64), peer string, d time.Duration, n int) error {
	to, err := netip.ParseAddrPort(peer)
	if err != nil {
		return err
	}
	for _, one := range []struct {
		name string
		f    func(netip.AddrPort, time.Duration, int) (float64, error)
	}{{"net_out_mbs", send}, {"net_in_mbs", receive}, {"net_rtt_us", roundTrip}} {
		v, err := one.f(to, d, n)
		if err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
		emit(one.name, v)
	}
	return nil
}

func dial(to netip.AddrPort, kind int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect to %s: %w", to, err)
	}
	return fd, nil
}

// send measures until the peer has got everything.
func send(to netip.AddrPort, d time.Duration, _ int) (float64, error) {
	fd, err := dial(to, unix.SOCK_STREAM)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	data, total, begin := make([]byte, block), 0, time.Now()
	for time.Since(begin) < d {
		n, err := again(unix.Write, fd, data)
		if err != nil {
			return 0, err
		}
		total += n
	}
	if err := unix.Shutdown(fd, unix.SHUT_WR); err != nil {
		return 0, err
	}
	if _, err := again(unix.Read, fd, data); err != nil {
		return 0, err
	}
	return rate(total, begin), nil
}

// receive measures from the first data on.
func receive(to netip.AddrPort, d time.Duration, _ int) (float64, error) {
	fd, err := dial(to, unix.SOCK_STREAM)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if _, err := again(unix.Write, fd, []byte{'d'}); err != nil {
		return 0, err
	}
	data := make([]byte, block)
	if _, err := again(unix.Read, fd, data); err != nil {
		return 0, err
	}
	total, begin := 0, time.Now()
	for time.Since(begin) < d {
		n, err := again(unix.Read, fd, data)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return rate(total, begin), nil
}

func rate(bytes int, begin time.Time) float64 {
	return float64(bytes) / 1e6 / time.Since(begin).Seconds()
}

// roundTrip sends datagrams of 64 bytes, one after the other; the first tenth warms
// up.
func roundTrip(to netip.AddrPort, _ time.Duration, n int) (float64, error) {
	fd, err := dial(to, unix.SOCK_DGRAM)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	data := make([]byte, 64)
	var us []float64
	for i := range n + n/10 {
		begin := time.Now()
		if _, err := again(unix.Write, fd, data); err != nil {
			return 0, err
		}
		if _, err := again(unix.Read, fd, data); err != nil {
			return 0, fmt.Errorf("answer %d: %w", i, err)
		}
		if i >= n/10 {
			us = append(us, time.Since(begin).Seconds()*1e6)
		}
	}
	slices.Sort(us)
	return us[len(us)/2], nil
}

// again makes a call until no signal interrupts it: Go's scheduler sends some.
func again(call func(int, []byte) (int, error), fd int, data []byte) (int, error) {
	for {
		if n, err := call(fd, data); err != unix.EINTR {
			return n, err
		}
	}
}
