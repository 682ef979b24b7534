// Package oci knows what an OCI runtime bundle is: it loads and validates
// config.json, checks container ids, and holds what the verbs `spec` and
// `features` print.
//
// It runs on the host and on the start-up path of every command, so it imports
// nothing heavy. It does not start anything, does not touch namespaces, mounts
// or machines, does not unpack images (package image does), and does not decide
// whether a valid request can be honoured: that is the business of whoever
// creates the sandbox.
package oci

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ConfigName is the name of the configuration file in a bundle (OCI runtime
// spec, bundle.md).
const ConfigName = "config.json"

// MaxConfigSize is the largest config.json that Load reads, in bytes.
const MaxConfigSize = 16 << 20

// Bundle is a loaded and validated OCI bundle (OCI runtime spec, bundle.md).
type Bundle struct {
	// Dir is the absolute path of the bundle directory.
	Dir string
	// Spec is the decoded configuration, normalized: every mount destination
	// is absolute, and so is the source of every bind mount.
	Spec *specs.Spec
	// Raw is config.json, byte for byte.
	Raw []byte
	// Rootfs is root.path, absolute and free of symbolic links. It was a
	// directory when the bundle was loaded.
	Rootfs string
	// Warnings lists, one line each, what the specification tells a runtime
	// to accept and to report, such as unknown capabilities.
	Warnings []string
}

// Load reads and validates the bundle in dir.
//
// Unknown fields of config.json are ignored (config.md, "Extensibility").
// A value that is malformed or not allowed gives an error that wraps a
// *ConfigError; a missing directory or config.json gives one that wraps
// fs.ErrNotExist. Load has no side effects.
func Load(dir string) (*Bundle, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("bundle directory %s: %w", dir, err)
	}
	raw, err := readConfig(abs)
	if err != nil {
		return nil, err
	}
	spec, warnings, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ConfigName, err)
	}
	rootfs, err := resolveRootfs(abs, spec.Root.Path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ConfigName, err)
	}
	absoluteSources(abs, spec)
	return &Bundle{Dir: abs, Spec: spec, Raw: raw, Rootfs: rootfs, Warnings: warnings}, nil
}

// parse is everything Load does that needs no file system.
func parse(raw []byte) (*specs.Spec, []string, error) {
	spec := new(specs.Spec)
	if err := decode(raw, spec); err != nil {
		return nil, nil, err
	}
	if err := validate(spec); err != nil {
		return nil, nil, err
	}
	warnings := append(absoluteDestinations(spec), CapabilityWarnings(spec.Process)...)
	return spec, warnings, nil
}

func readConfig(dir string) ([]byte, error) {
	if st, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("bundle directory %s: %w", dir, cause(err))
	} else if !st.IsDir() {
		return nil, fmt.Errorf("bundle directory %s: %w", dir, unix.ENOTDIR)
	}
	raw, err := readBounded(filepath.Join(dir, ConfigName), MaxConfigSize)
	if errors.Is(err, fs.ErrNotExist) {
		// runc's words; engines and their users search for them.
		return nil, fmt.Errorf("JSON specification file %s not found in %s: %w", ConfigName, dir, unix.ENOENT)
	}
	return raw, err
}

// readBounded reads a regular file of at most limit bytes. O_NONBLOCK keeps a
// FIFO in the file's place from stopping the caller for ever.
func readBounded(path string, limit int64) ([]byte, error) {
	name := filepath.Base(path)
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, cause(err))
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, cause(err))
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", name)
	}
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, cause(err))
	}
	if int64(len(raw)) > limit {
		return nil, fmt.Errorf("%s: larger than %d MiB", name, limit>>20)
	}
	return raw, nil
}

// resolveRootfs resolves root.path, relative to the bundle if it is not
// absolute (config.md, "Root").
func resolveRootfs(bundle, path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(bundle, path)
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", &ConfigError{Field: "root.path", Reason: fmt.Sprintf("%s: %v", path, cause(err)), Err: err}
	}
	st, err := os.Stat(resolved)
	if err != nil {
		return "", &ConfigError{Field: "root.path", Reason: fmt.Sprintf("%s: %v", path, cause(err)), Err: err}
	}
	if !st.IsDir() {
		return "", &ConfigError{Field: "root.path", Reason: path + ": not a directory"}
	}
	return resolved, nil
}

// cause strips the operation and path that package os puts in front of an
// error, where our own message already names the path.
func cause(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}
