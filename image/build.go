package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	digest "github.com/opencontainers/go-digest"
	specsgo "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Builder packs a directory as an image. The same directory always gives the
// same bytes: entries are sorted, and nothing of the host is in them.
type Builder struct {
	// Platform of the image, "os/architecture[/variant]"; DefaultPlatform if empty.
	Platform string
	// Mtime replaces the modification time of every entry, unless it is zero.
	Mtime time.Time
}

// WriteOCIArchive writes an OCI image with the default Builder.
func WriteOCIArchive(w io.Writer, rootfs string, cfg Config) error {
	return Builder{}.Write(w, rootfs, cfg)
}

// Write packs the directory rootfs as an OCI image layout in a tar archive,
// with one uncompressed layer (OCI image spec, image-layout.md). Owners, modes,
// links, devices and a container's extended attributes are kept; sockets are
// left out. It uses a temporary file as large as the directory, and fails if a
// file's size changes meanwhile.
func (b Builder) Write(w io.Writer, rootfs string, cfg Config) error {
	if b.Platform == "" {
		b.Platform = DefaultPlatform
	}
	platform, err := parsePlatform(b.Platform)
	if err != nil {
		return err
	}
	spool, err := os.CreateTemp("", "kata-layer-")
	if err != nil {
		return fmt.Errorf("pack %s: %w", rootfs, err)
	}
	defer spool.Close()
	// It has no name from here on, so nothing is left behind.
	if err := os.Remove(spool.Name()); err != nil {
		return fmt.Errorf("pack %s: %w", rootfs, err)
	}
	hash := digest.Canonical.Digester()
	if err := packDir(io.MultiWriter(spool, hash.Hash()), rootfs, b.Mtime); err != nil {
		return fmt.Errorf("pack %s: %w", rootfs, err)
	}
	size, err := spool.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("pack %s: %w", rootfs, err)
	}
	layer := v1.Descriptor{MediaType: v1.MediaTypeImageLayer, Digest: hash.Digest(), Size: size}
	a := &archive{tw: tar.NewWriter(w)}
	a.image(platform, cfg, layer, spool)
	if a.err != nil {
		return fmt.Errorf("pack %s: %w", rootfs, a.err)
	}
	return nil
}

// archive writes the files of an OCI layout; after the first error, nothing.
type archive struct {
	tw  *tar.Writer
	err error
}

func (a *archive) image(p v1.Platform, cfg Config, layer v1.Descriptor, content io.Reader) {
	a.json(v1.ImageLayoutFile, v1.ImageLayout{Version: v1.ImageLayoutVersion})
	a.blob(layer, content)
	config := a.jsonBlob(v1.MediaTypeImageConfig, v1.Image{
		Platform: p,
		Config: v1.ImageConfig{
			Env: cfg.Env, Entrypoint: cfg.Entrypoint, Cmd: cfg.Cmd,
			User: cfg.User, WorkingDir: cfg.WorkingDir, Labels: cfg.Labels,
		},
		RootFS: v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.Digest}},
	})
	manifest := a.jsonBlob(v1.MediaTypeImageManifest, v1.Manifest{
		Versioned: specsgo.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageManifest,
		Config:    config,
		Layers:    []v1.Descriptor{layer},
	})
	manifest.Platform = &p
	a.json(v1.ImageIndexFile, v1.Index{
		Versioned: specsgo.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageIndex,
		Manifests: []v1.Descriptor{manifest},
	})
	if a.err == nil {
		a.err = a.tw.Close()
	}
}

func (a *archive) json(name string, v any) {
	raw, err := json.Marshal(v)
	if err != nil && a.err == nil {
		a.err = err
	}
	a.file(name, int64(len(raw)), bytes.NewReader(raw))
}

func (a *archive) jsonBlob(mediaType string, v any) v1.Descriptor {
	raw, err := json.Marshal(v)
	if err != nil && a.err == nil {
		a.err = err
	}
	d := v1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	a.blob(d, bytes.NewReader(raw))
	return d
}

func (a *archive) blob(d v1.Descriptor, content io.Reader) {
	name, err := blobName(d.Digest)
	if err != nil && a.err == nil {
		a.err = err
	}
	a.file(name, d.Size, content)
}

func (a *archive) file(name string, size int64, content io.Reader) {
	if a.err != nil {
		return
	}
	hdr := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0)}
	if a.err = a.tw.WriteHeader(hdr); a.err == nil {
		_, a.err = io.Copy(a.tw, content)
	}
}
