package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// networkFigures are the probe's in the order of the table.
var networkFigures = []figure{
	{"net_out_mbs", "TCP, container to host", "MB/s", true},
	{"net_in_mbs", "TCP, host to container", "MB/s", true},
	{"net_rtt_us", "UDP round trip, 64 bytes", "µs", false},
}

// network measures containers that have one end of a veth pair, against the
// benchmark at the other end.
func (b *bench) network(ctx context.Context, probeArgs []string) {
	b.inTurn(ctx, "network", networkFigures, func(r *runtime) ([]byte, error) {
		w, err := newWire()
		if err != nil {
			return nil, err
		}
		defer w.close()
		args := append([]string{"-network", w.address()}, probeArgs...)
		if r == nil {
			var out []byte
			err := w.enter(func() (err error) {
				_, out, err = b.session.exec(ctx, filepath.Join(b.rootfs, "bin", "probe"), args...)
				return err
			})
			return out, err
		}
		return b.onWire(ctx, r.networked(), w, args)
	})
}

// onWire runs the probe in a container of r that has w.
func (b *bench) onWire(ctx context.Context, r *runtime, w *wire, args []string) ([]byte, error) {
	spec := containerSpec(b.rootfs, append([]string{"/bin/probe"}, args...), true)
	for i := range spec.Linux.Namespaces {
		if ns := &spec.Linux.Namespaces[i]; ns.Type == "network" {
			ns.Path = w.path()
		}
	}
	id := b.newID(r)
	bundle := filepath.Join(b.dir, "bundle-"+id)
	if err := writeBundle(bundle, spec); err != nil {
		return nil, err
	}
	defer os.RemoveAll(bundle)
	_, out, err := b.run(ctx, r, "run", "--bundle", bundle, id)
	if err == nil {
		b.forget(id)
	}
	return out, err
}

// networkArgs are the probe's, for measurements of that length.
func networkArgs(d time.Duration, pings int) []string {
	return []string{"-time", d.String(), "-pings", fmt.Sprint(pings)}
}
