package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/oci"
)

// bundles are the paths of the containers' bundles. All have the same small root
// file system; only probe may write to it.
type bundles struct {
	rootfs string
	truth  string // runs /bin/true
	sleep  string // runs /bin/sleep for an hour
	probe  string // runs /bin/probe
}

// makeBundles makes them below dir. It needs the static busybox and the Go tool.
func makeBundles(ctx context.Context, dir, busybox string, probeArgs []string) (*bundles, error) {
	b := &bundles{rootfs: filepath.Join(dir, "rootfs")}
	for _, d := range []string{"bin", "proc", "dev", "sys", "tmp", "etc", "data"} {
		if err := os.MkdirAll(filepath.Join(b.rootfs, d), 0o755); err != nil {
			return nil, err
		}
	}
	if err := copyFile(busybox, filepath.Join(b.rootfs, "bin", "busybox")); err != nil {
		return nil, fmt.Errorf("static busybox (Debian: busybox-static): %w", err)
	}
	for _, applet := range []string{"sh", "true", "sleep", "cat"} {
		if err := os.Symlink("busybox", filepath.Join(b.rootfs, "bin", applet)); err != nil {
			return nil, err
		}
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(b.rootfs, "bin", "probe"), "kata/test/bench/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the probe: %w: %s", err, out)
	}
	for _, one := range []struct {
		to   *string
		name string
		args []string
	}{
		{&b.truth, "true", []string{"/bin/true"}},
		{&b.sleep, "sleep", []string{"/bin/sleep", "3600"}},
		{&b.probe, "probe", append([]string{"/bin/probe"}, probeArgs...)},
	} {
		*one.to = filepath.Join(dir, "bundle-"+one.name)
		if err := writeBundle(*one.to, containerSpec(b.rootfs, one.args, one.name != "probe")); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// writeBundle writes the config.json of one bundle.
func writeBundle(dir string, spec *specs.Spec) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(spec, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644)
}

// containerSpec is the default configuration for one command. It has no cgroup
// mount and namespace: what they need differs from host to host and runtime to
// runtime, and nothing here measures them.
func containerSpec(rootfs string, args []string, readonly bool) *specs.Spec {
	spec := oci.DefaultSpec()
	spec.Version = "1.0.2" // old runtimes refuse newer ones; nothing of them is used
	spec.Process.Terminal = false
	spec.Process.Args = args
	spec.Root = &specs.Root{Path: rootfs, Readonly: readonly}
	spec.Mounts = slices.DeleteFunc(spec.Mounts, func(m specs.Mount) bool { return m.Type == "cgroup" })
	spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.CgroupNamespace
	})
	return spec
}

// copyFile makes an executable copy.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
