// Package image turns a container image that is already on this machine into a
// root filesystem directory and a process configuration. It reads an OCI image
// layout, in a tar archive or as a directory, and what `docker save` writes;
// and it packs a directory as an OCI image.
//
// It fetches nothing, keeps no store of images, and mounts nothing. An image is
// taken as hostile: names, links and sizes in it are bounded by the directory
// it is unpacked to and by fixed limits, and every digest is verified.
package image

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Reasons why an image is refused; errors of this package wrap them.
var (
	// ErrNotImage: the file is no archive, or one without an image in it.
	ErrNotImage = errors.New("not a container image")
	// ErrNoPlatform: the image has nothing for the platform asked for.
	ErrNoPlatform = errors.New("no image for the platform")
	// ErrDigest: content is not what its digest says.
	ErrDigest = errors.New("digest mismatch")
	// ErrUnsafe: a layer reaches for something outside the root filesystem.
	ErrUnsafe = errors.New("unsafe entry")
	// ErrTooLarge: content exceeds a limit of this package.
	ErrTooLarge = errors.New("too large")
)

// DefaultPlatform is what Open selects: Linux on the host's architecture.
const DefaultPlatform = "linux/" + runtime.GOARCH

// PlatformError is an image that has nothing for the platform asked for. It wraps
// ErrNoPlatform.
type PlatformError struct {
	Want string
	Have []string // what it is for instead
}

func (e *PlatformError) Error() string {
	return fmt.Sprintf("%v %s, only for %s", ErrNoPlatform, e.Want, strings.Join(e.Have, ", "))
}

func (e *PlatformError) Unwrap() error { return ErrNoPlatform }

// Limits on what an image may hold.
const (
	// MaxSize is the limit for the files of an unpacked image, and for the
	// uncompressed layers, each in bytes.
	MaxSize = 64 << 30
	// MaxEntries is the limit for entries of all layers together.
	MaxEntries = 4 << 20
	// MaxLayers is the limit for layers.
	MaxLayers = 1024
)

// Image is one image for one platform. It holds no open file; its methods open
// the archive again, and find out if it was changed since.
type Image struct {
	files  files
	id     digest.Digest
	config v1.Image
	layers []layer
	limits limits
}

// limits are fields of Image so that tests can reach them.
type limits struct{ bytes, entries int64 }

// Open opens the image at path for DefaultPlatform. See OpenPlatform.
func Open(path string) (*Image, error) { return OpenPlatform(path, DefaultPlatform) }

// OpenPlatform opens the image at path, an archive or the directory of an OCI
// layout, for a platform written "os/architecture[/variant]" in Go's names.
//
// It reads and verifies index, manifest and configuration but no layer. An
// archive with several images that fit is refused, since there is no telling
// which one is meant. Errors wrap ErrNotImage, ErrNoPlatform (PlatformError), ErrDigest,
// ErrTooLarge or those of package io and os.
func OpenPlatform(path, platform string) (*Image, error) {
	want, err := parsePlatform(platform)
	if err != nil {
		return nil, err
	}
	found, err := find(path, want)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", path, err)
	}
	return found, nil
}

func find(path string, want v1.Platform) (*Image, error) {
	f, err := openFiles(path)
	if err != nil {
		return nil, err
	}
	l := &loader{files: f, want: want}
	images, err := l.load()
	if err != nil {
		return nil, err
	}
	if len(images) == 0 {
		return nil, l.noPlatform()
	}
	for _, other := range images[1:] {
		if other.id != images[0].id {
			return nil, fmt.Errorf("%w: archive has several images that fit, want one", ErrNotImage)
		}
	}
	return images[0], nil
}

// ID is the digest of the image's configuration, such as "sha256:…": what
// Docker calls the image id.
func (im *Image) ID() string { return im.id.String() }

// Platform is the platform the image says it is for, as "os/architecture".
func (im *Image) Platform() string { return platformString(im.config.Platform) }

// Config returns a copy of the image's process configuration (OCI image spec,
// config.md, "Properties").
func (im *Image) Config() Config {
	c := im.config.Config
	labels := make(map[string]string, len(c.Labels))
	for k, v := range c.Labels {
		labels[k] = v
	}
	return Config{
		Env:        slices.Clone(c.Env),
		Entrypoint: slices.Clone(c.Entrypoint),
		Cmd:        slices.Clone(c.Cmd),
		User:       c.User,
		WorkingDir: c.WorkingDir,
		Labels:     labels,
	}
}
