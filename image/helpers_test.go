package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

var someTime = time.Unix(1_500_000_000, 123_000_000)

// Entries of layers.

func dir(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: someTime}
}

// file makes a file; its content is its Linkname, for brevity (see tarOf).
func file(name, content string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: content, Mode: 0o644, ModTime: someTime}
}

func symlink(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: someTime}
}

func hardlink(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target}
}

func tarOf(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, hdr := range entries {
		content := ""
		if hdr.Typeflag == tar.TypeReg {
			content, hdr.Linkname = hdr.Linkname, ""
			hdr.Size = int64(len(content))
		}
		hdr.Format = tar.FormatPAX
		must(t, tw.WriteHeader(&hdr))
		_, err := tw.Write([]byte(content))
		must(t, err)
	}
	must(t, tw.Close())
	return buf.Bytes()
}

func gzipped(t testing.TB, raw []byte) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	_, err := z.Write(raw)
	must(t, err)
	must(t, z.Close())
	return buf.Bytes()
}

func zstded(t testing.TB, raw []byte) []byte {
	z, err := zstd.NewWriter(nil)
	must(t, err)
	return z.EncodeAll(raw, nil)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// parts are the files of an image, by name.
type parts map[string][]byte

func (p parts) json(t testing.TB, name string, v any) {
	raw, err := json.Marshal(v)
	must(t, err)
	p[name] = raw
}

func (p parts) blob(raw []byte) v1.Descriptor {
	d := digest.FromBytes(raw)
	p["blobs/sha256/"+d.Encoded()] = raw
	return v1.Descriptor{Digest: d, Size: int64(len(raw))}
}

func (p parts) jsonBlob(t testing.TB, mediaType string, v any) v1.Descriptor {
	raw, err := json.Marshal(v)
	must(t, err)
	d := p.blob(raw)
	d.MediaType = mediaType
	return d
}

// manifest adds an image made of plain layers; pack compresses each.
func (p parts) manifest(t testing.TB, arch string, pack func(testing.TB, []byte) []byte, layers ...[]byte) v1.Descriptor {
	config := v1.Image{Platform: v1.Platform{OS: "linux", Architecture: arch}}
	config.Config.Env = []string{"PATH=/bin", "IMAGE=" + arch}
	config.Config.Entrypoint = []string{"/init"}
	config.Config.Cmd = []string{"-x"}
	m := v1.Manifest{MediaType: v1.MediaTypeImageManifest}
	for _, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(l))
		if pack != nil {
			l = pack(t, l)
		}
		m.Layers = append(m.Layers, p.blob(l))
	}
	m.Config = p.jsonBlob(t, v1.MediaTypeImageConfig, config)
	return p.jsonBlob(t, v1.MediaTypeImageManifest, m)
}

func (p parts) index(t testing.TB, manifests ...v1.Descriptor) {
	p.json(t, "oci-layout", v1.ImageLayout{Version: "1.0.0"})
	p.json(t, "index.json", v1.Index{Manifests: manifests})
}

// ociImage is an image for amd64 in the OCI format.
func ociImage(t testing.TB, pack func(testing.TB, []byte) []byte, layers ...[]byte) parts {
	p := parts{}
	p.index(t, p.manifest(t, "amd64", pack, layers...))
	return p
}

// dockerImage is the same as `docker save` writes it.
func dockerImage(t testing.TB, layers ...[]byte) parts {
	p := parts{}
	config := v1.Image{Platform: v1.Platform{OS: "linux", Architecture: "amd64"}}
	var names []string
	for i, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(l))
		name := string(rune('a'+i)) + "/layer.tar"
		names = append(names, name)
		p[name] = l
	}
	raw, err := json.Marshal(config)
	must(t, err)
	name := digest.FromBytes(raw).Encoded() + ".json"
	p[name] = raw
	p.json(t, "manifest.json", []map[string]any{{"Config": name, "RepoTags": []string{"x:y"}, "Layers": names}})
	return p
}

// archive writes the parts as a tar file.
func (p parts) archive(t testing.TB) string {
	t.Helper()
	var entries []tar.Header
	for name, raw := range p {
		entries = append(entries, file(name, string(raw)))
	}
	name := filepath.Join(t.TempDir(), "image.tar")
	must(t, os.WriteFile(name, tarOf(t, entries...), 0o600))
	return name
}

// directory writes the parts as files.
func (p parts) directory(t testing.TB) string {
	t.Helper()
	d := t.TempDir()
	for name, raw := range p {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(d, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(d, name), raw, 0o600))
	}
	return d
}

// openAMD64 opens an image that the helpers above made, on any host.
func openAMD64(t testing.TB, path string) *Image {
	t.Helper()
	im, err := OpenPlatform(path, "linux/amd64")
	must(t, err)
	return im
}

// unpack unpacks layers to a new directory.
func unpack(t testing.TB, layers ...[]byte) (string, error) {
	t.Helper()
	im := openAMD64(t, ociImage(t, nil, layers...).archive(t))
	d := filepath.Join(t.TempDir(), "rootfs")
	return d, im.Unpack(d)
}

// tree lists the files under d with their contents or targets.
func tree(t testing.TB, d string) map[string]string {
	t.Helper()
	found := map[string]string{}
	must(t, filepath.WalkDir(d, func(p string, e os.DirEntry, err error) error {
		rel, _ := filepath.Rel(d, p)
		switch {
		case err != nil || rel == ".":
			return err
		case e.IsDir():
			found[rel+"/"] = ""
		case e.Type() == os.ModeSymlink:
			target, err := os.Readlink(p)
			found[rel] = "-> " + target
			return err
		case e.Type().IsRegular():
			raw, err := os.ReadFile(p)
			found[rel] = string(raw)
			return err
		default:
			found[rel] = e.Type().String()
		}
		return nil
	}))
	return found
}

// fuzzFiles has the same content under every name.
type fuzzFiles []byte

func (f fuzzFiles) open(string) (io.ReadCloser, int64, error) {
	return io.NopCloser(bytes.NewReader(f)), int64(len(f)), nil
}
