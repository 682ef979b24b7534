package image

import (
	_ "crypto/sha256" // the two algorithms of the image spec, for go-digest
	_ "crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	maxJSON  = 16 << 20 // bytes in an index, manifest or configuration
	maxDepth = 4        // indexes in indexes

	dockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
)

// loader finds the images for one platform.
type loader struct {
	files files
	want  v1.Platform
	seen  []string // platforms that did not fit
}

// load returns the images that fit, in the archive's order. Docker since
// version 25 writes both formats into one archive; the OCI part has the
// better checksums.
func (l *loader) load() ([]*Image, error) {
	var index v1.Index
	err := l.readJSON(v1.ImageIndexFile, "", &index)
	if err == nil {
		return l.fromIndex(index, maxDepth)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	images, err := l.fromDocker()
	if errors.Is(err, fs.ErrNotExist) && images == nil {
		return nil, fmt.Errorf("%w: has neither index.json (OCI) nor manifest.json (docker save)", ErrNotImage)
	}
	return images, err
}

// fromIndex follows OCI image spec, image-index.md.
func (l *loader) fromIndex(index v1.Index, depth int) (images []*Image, err error) {
	for _, d := range index.Manifests {
		var found []*Image
		switch d.MediaType {
		case v1.MediaTypeImageIndex, dockerIndex:
			found, err = l.fromNested(d, depth)
		case v1.MediaTypeImageManifest, dockerManifest:
			found, err = l.fromManifest(d)
		}
		if err != nil {
			return nil, err
		}
		images = append(images, found...)
	}
	return images, nil
}

// fromNested takes the first that fits: an index is one image for several
// platforms.
func (l *loader) fromNested(d v1.Descriptor, depth int) ([]*Image, error) {
	if depth == 0 {
		return nil, fmt.Errorf("%w: indexes nest deeper than %d", ErrNotImage, maxDepth)
	}
	var nested v1.Index
	if err := l.readBlob(d, &nested); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	found, err := l.fromIndex(nested, depth-1)
	return found[:min(len(found), 1)], err
}

func (l *loader) fromManifest(d v1.Descriptor) ([]*Image, error) {
	// Asked before the manifest is read: archives of a multi-platform image
	// often lack the other platforms' content.
	if d.Platform != nil && !l.fits(*d.Platform) {
		return nil, nil
	}
	var m v1.Manifest
	if err := l.readBlob(d, &m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	im := l.newImage(m.Config.Digest)
	if err := l.readBlob(m.Config, &im.config); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if d.Platform == nil && !l.fits(im.config.Platform) {
		return nil, nil
	}
	for _, ld := range m.Layers {
		name, err := blobName(ld.Digest)
		if err != nil {
			return nil, fmt.Errorf("manifest: layers: %w", err)
		}
		im.layers = append(im.layers, layer{name: name, digest: ld.Digest, size: ld.Size})
	}
	return []*Image{im}, im.setDiffIDs()
}

// fromDocker reads what `docker save` wrote before Docker 25: manifest.json
// names the files.
func (l *loader) fromDocker() ([]*Image, error) {
	var manifest []struct {
		Config string
		Layers []string
	}
	if err := l.readJSON("manifest.json", "", &manifest); err != nil {
		return nil, err
	}
	images := []*Image{}
	for _, m := range manifest {
		id := nameDigest(m.Config)
		im := l.newImage(id)
		if err := l.readJSON(m.Config, id, &im.config); err != nil {
			return images, fmt.Errorf("configuration: %w", err)
		}
		if !l.fits(im.config.Platform) {
			continue
		}
		for _, name := range m.Layers {
			im.layers = append(im.layers, layer{name: name, size: -1})
		}
		if err := im.setDiffIDs(); err != nil {
			return images, err
		}
		images = append(images, im)
	}
	return images, nil
}

func (l *loader) newImage(id digest.Digest) *Image {
	return &Image{files: l.files, id: id, limits: limits{bytes: MaxSize, entries: MaxEntries}}
}

// setDiffIDs gives each layer the digest of its uncompressed content.
func (im *Image) setDiffIDs() error {
	ids := im.config.RootFS.DiffIDs
	if len(ids) != len(im.layers) {
		return fmt.Errorf("configuration: rootfs.diff_ids: %d for %d layers", len(ids), len(im.layers))
	}
	if len(ids) > MaxLayers {
		return fmt.Errorf("%d layers, the limit is %d: %w", len(ids), MaxLayers, ErrTooLarge)
	}
	for i, id := range ids {
		if err := id.Validate(); err != nil {
			return fmt.Errorf("configuration: rootfs.diff_ids[%d]: %w", i, err)
		}
		im.layers[i].diffID = id
	}
	return nil
}

func (l *loader) fits(have v1.Platform) bool {
	if fits(have, l.want) {
		return true
	}
	// Build attestations say "unknown/unknown": nobody wants to hear of them.
	if s := platformString(have); s != "unknown/unknown" && !slices.Contains(l.seen, s) {
		l.seen = append(l.seen, s)
	}
	return false
}

func (l *loader) noPlatform() error {
	if len(l.seen) == 0 {
		return fmt.Errorf("%w: archive lists no image", ErrNotImage)
	}
	return &PlatformError{Want: platformString(l.want), Have: slices.Clone(l.seen)}
}

func (l *loader) readBlob(d v1.Descriptor, into any) error {
	name, err := blobName(d.Digest)
	if err != nil {
		return err
	}
	return l.readJSON(name, d.Digest, into)
}

// readJSON reads a file and verifies it, unless want is empty.
func (l *loader) readJSON(name string, want digest.Digest, into any) error {
	f, size, err := l.files.open(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	if size > maxJSON {
		return fmt.Errorf("%s: %d bytes, the limit is %d: %w", name, size, maxJSON, ErrTooLarge)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxJSON))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if want != "" {
		if got := want.Algorithm().FromBytes(raw); got != want {
			return fmt.Errorf("%s: %w: is %s, want %s", name, ErrDigest, got, want)
		}
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// blobName is where an OCI layout keeps content (image-layout.md, "Blobs"). A
// valid digest has only hex digits after the algorithm, so the name is safe.
func blobName(d digest.Digest) (string, error) {
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("digest %q: %w", d, err)
	}
	return path.Join(v1.ImageBlobsDir, d.Algorithm().String(), d.Encoded()), nil
}

// nameDigest reads the digest that docker save puts into the name of a
// configuration: "<hex>.json" or "blobs/sha256/<hex>"; "" if there is none.
func nameDigest(name string) digest.Digest {
	base := strings.TrimPrefix(strings.TrimSuffix(path.Base(name), ".json"), "sha256:")
	d := digest.NewDigestFromEncoded(digest.SHA256, base)
	if d.Validate() != nil {
		return ""
	}
	return d
}
