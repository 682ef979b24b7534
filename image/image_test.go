package image

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestFormats(t *testing.T) {
	one := tarOf(t, dir("etc"), file("etc/a", "1"), file("etc/b", "2"))
	two := tarOf(t, file("etc/a", "3"))
	both := ociImage(t, nil, one, two)
	for name, raw := range dockerImage(t, one, two) {
		both[name] = raw
	}
	for name, path := range map[string]string{
		"oci plain":       ociImage(t, nil, one, two).archive(t),
		"oci gzip":        ociImage(t, gzipped, one, two).archive(t),
		"oci zstd":        ociImage(t, zstded, one, two).archive(t),
		"oci directory":   ociImage(t, gzipped, one, two).directory(t),
		"docker":          dockerImage(t, one, two).archive(t),
		"docker gzip":     dockerWith(t, gzipped, one, two).archive(t),
		"docker 25, both": both.archive(t),
	} {
		t.Run(name, func(t *testing.T) {
			im := openAMD64(t, path)
			d := filepath.Join(t.TempDir(), "sub", "rootfs")
			must(t, im.Unpack(d))
			if got := tree(t, d); got["etc/a"] != "3" || got["etc/b"] != "2" || len(got) != 3 {
				t.Errorf("got %v", got)
			}
			if !strings.HasPrefix(im.ID(), "sha256:") || im.Platform() != "linux/amd64" {
				t.Errorf("ID %q, platform %q", im.ID(), im.Platform())
			}
		})
	}
}

// dockerWith is dockerImage with compressed layers, which some tools write.
func dockerWith(t *testing.T, pack func(testing.TB, []byte) []byte, layers ...[]byte) parts {
	p := dockerImage(t, layers...)
	for name, raw := range p {
		if strings.HasSuffix(name, "layer.tar") {
			p[name] = pack(t, raw)
		}
	}
	return p
}

// TestDockerLinkedLayer: docker save, before 25, writes a layer once.
func TestDockerLinkedLayer(t *testing.T) {
	one := tarOf(t, file("a", "1"))
	p := dockerImage(t, one, one)
	entries := []tar.Header{symlink("b/layer.tar", "../a/layer.tar")}
	for name, raw := range p {
		if name != "b/layer.tar" {
			entries = append(entries, file(name, string(raw)))
		}
	}
	path := filepath.Join(t.TempDir(), "i.tar")
	must(t, os.WriteFile(path, tarOf(t, entries...), 0o600))
	must(t, openAMD64(t, path).Unpack(filepath.Join(t.TempDir(), "r")))
}

func TestPlatform(t *testing.T) {
	p := parts{}
	amd, arm := p.manifest(t, "amd64", nil), p.manifest(t, "arm64", nil)
	attestation := p.manifest(t, "unknown", nil)
	attestation.Platform = &v1.Platform{OS: "unknown", Architecture: "unknown"}
	amd.Platform = &v1.Platform{OS: "linux", Architecture: "amd64"}
	arm.Platform = &v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
	missing := arm
	missing.Platform = &v1.Platform{OS: "linux", Architecture: "s390x"}
	missing.Digest = "sha256:" + v1.DescriptorEmptyJSON.Digest[7:]
	p.index(t, p.jsonBlob(t, v1.MediaTypeImageIndex, v1.Index{Manifests: []v1.Descriptor{attestation, missing, amd, arm}}))
	path := p.archive(t)

	for platform, want := range map[string]string{
		"linux/amd64": "amd64", "linux/x86_64": "amd64",
		"linux/arm64": "arm64", "linux/aarch64": "arm64", "linux/arm64/v8": "arm64",
	} {
		im, err := OpenPlatform(path, platform)
		if err != nil || im.config.Architecture != want {
			t.Errorf("%s: %v", platform, err)
		}
	}
	_, err := OpenPlatform(path, "linux/riscv64")
	if !errors.Is(err, ErrNoPlatform) || !strings.Contains(err.Error(), "linux/riscv64, only for linux/s390x, linux/amd64, linux/arm64/v8") {
		t.Errorf("got %v", err)
	}
	if _, err := OpenPlatform(path, "linux"); err == nil {
		t.Error("platform without architecture was accepted")
	}
	// Without a platform in the index, the configuration tells.
	if _, err := OpenPlatform(ociImage(t, nil).archive(t), "linux/arm64"); !errors.Is(err, ErrNoPlatform) {
		t.Errorf("got %v", err)
	}
}

func TestSeveralImages(t *testing.T) {
	p := parts{}
	a := p.manifest(t, "amd64", nil, tarOf(t))
	p.index(t, a, a)
	openAMD64(t, p.archive(t)) // two tags of one image
	p.index(t, a, p.manifest(t, "amd64", nil, tarOf(t, file("a", ""))))
	if _, err := OpenPlatform(p.archive(t), "linux/amd64"); err == nil || !strings.Contains(err.Error(), "several images") {
		t.Errorf("got %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	d := t.TempDir()
	write := func(name string, raw []byte) string {
		path := filepath.Join(d, name)
		must(t, os.WriteFile(path, raw, 0o600))
		return path
	}
	must(t, syscall.Mkfifo(filepath.Join(d, "fifo"), 0o600))
	good, err := os.ReadFile(ociImage(t, nil, tarOf(t, file("a", strings.Repeat("x", 1<<16)))).archive(t))
	must(t, err)
	nested := parts{}
	desc := nested.jsonBlob(t, v1.MediaTypeImageIndex, v1.Index{})
	for range 10 {
		desc = nested.jsonBlob(t, v1.MediaTypeImageIndex, v1.Index{Manifests: []v1.Descriptor{desc}})
	}
	nested.index(t, desc)
	evil := parts{}
	evil.index(t, v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: "sha256:../../../../etc/passwd"})
	for _, tc := range []struct {
		name, path, want string
		is               error
	}{
		{"missing", filepath.Join(d, "no"), "no such file", fs.ErrNotExist},
		{"empty", write("empty", nil), "file is empty", ErrNotImage},
		{"text", write("text", []byte(strings.Repeat("no archive ", 100))), "not a tar archive", ErrNotImage},
		{"short text", write("short", []byte("hello")), "truncated", io.ErrUnexpectedEOF},
		{"gzip", write("gz", gzipped(t, good)), "compressed with gzip", ErrNotImage},
		{"fifo", filepath.Join(d, "fifo"), "neither a file nor", ErrNotImage},
		{"other tar", write("other", tarOf(t, file("a", "b"))), "neither index.json", ErrNotImage},
		{"other directory", t.TempDir(), "neither index.json", ErrNotImage},
		{"truncated", write("truncated", good[:len(good)/2]), "truncated", io.ErrUnexpectedEOF},
		{"bad json", parts{"index.json": []byte("{")}.archive(t), "index.json: unexpected end", nil},
		{"no images", parts{"index.json": []byte("{}")}.archive(t), "lists no image", ErrNotImage},
		{"nested", nested.archive(t), "nest deeper", ErrNotImage},
		{"hostile digest", evil.archive(t), "digest", nil},
		{"hostile digest, directory", evil.directory(t), "digest", nil},
		{"docker without config", parts{"manifest.json": []byte(`[{"Config":"c"}]`)}.archive(t), "configuration: c: not in the archive", fs.ErrNotExist},
		{"docker climbing", parts{"manifest.json": []byte(`[{"Config":"../../etc/passwd"}]`)}.directory(t), "escapes", nil},
		{"layer counts", parts{"manifest.json": []byte(`[{"Config":"c","Layers":["x"]}]`), "c": []byte("{}")}.archive(t), "rootfs.diff_ids: 0 for 1", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Open(tc.path)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("got %v, want one line with %q", err, tc.want)
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("%v is not %v", err, tc.is)
			}
		})
	}
}

// TestCorrupt changes one byte of every blob in turn: it must be noticed, and
// nothing must be left.
func TestCorrupt(t *testing.T) {
	for _, pack := range []func(testing.TB, []byte) []byte{nil, gzipped, zstded} {
		whole := ociImage(t, pack, tarOf(t, file("a", "content"), file("b", strings.Repeat("y", 5000))))
		for name, raw := range whole {
			if !strings.HasPrefix(name, "blobs/") {
				continue
			}
			bad := append([]byte(nil), raw...)
			bad[len(bad)/2] ^= 0x20
			whole[name] = bad
			d := filepath.Join(t.TempDir(), "rootfs")
			im, err := OpenPlatform(whole.archive(t), "linux/amd64")
			if err == nil {
				err = im.Unpack(d)
			}
			if !errors.Is(err, ErrDigest) {
				t.Errorf("%s: got %v, want a digest mismatch", name, err)
			}
			if _, err := os.Stat(d); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is left behind", d)
			}
			whole[name] = raw
		}
	}
}

func TestDockerCorruptLayer(t *testing.T) {
	p := dockerImage(t, tarOf(t, file("a", "good")))
	p["a/layer.tar"] = tarOf(t, file("a", "evil"))
	d := t.TempDir()
	err := openAMD64(t, p.archive(t)).Unpack(d)
	if left := tree(t, d); !errors.Is(err, ErrDigest) || len(left) != 0 {
		t.Errorf("got %v; left %v", err, left)
	}
}

func TestConfigIsACopy(t *testing.T) {
	im := openAMD64(t, ociImage(t, nil).archive(t))
	im.Config().Env[0] = "spoiled"
	if c := im.Config(); c.Env[0] != "PATH=/bin" || c.Entrypoint[0] != "/init" || c.Cmd[0] != "-x" {
		t.Errorf("got %+v", c)
	}
}
