package image

import (
	"archive/tar"
	"bytes"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"
)

func sample(t *testing.T) string {
	d := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(d, "bin"), 0o755))
	must(t, os.WriteFile(filepath.Join(d, "bin/sh"), []byte("#!"), 0o755))
	must(t, os.Chown(filepath.Join(d, "bin/sh"), 3, 4))
	must(t, os.Chmod(filepath.Join(d, "bin/sh"), 0o755|os.ModeSetuid))
	must(t, unix.Setxattr(filepath.Join(d, "bin/sh"), "security.capability", []byte(netBind), 0))
	must(t, os.Link(filepath.Join(d, "bin/sh"), filepath.Join(d, "bin/ash")))
	must(t, os.Symlink("/bin/sh", filepath.Join(d, "init")))
	must(t, unix.Mknod(filepath.Join(d, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(t, unix.Mknod(filepath.Join(d, "sock"), unix.S_IFSOCK|0o666, 0))
	return d
}

func TestBuildRoundTrip(t *testing.T) {
	src := sample(t)
	cfg := Config{
		Env: []string{"A=1"}, Entrypoint: []string{"/init"}, Cmd: []string{"-c"},
		User: "3:4", WorkingDir: "/bin", Labels: map[string]string{"l": "v"},
	}
	path := filepath.Join(t.TempDir(), "i.tar")
	f, err := os.Create(path)
	must(t, err)
	must(t, WriteOCIArchive(f, src, cfg))
	must(t, f.Close())

	im, err := Open(path)
	must(t, err)
	if got := im.Config(); !reflect.DeepEqual(got, cfg) {
		t.Errorf("got %+v, want %+v", got, cfg)
	}
	d := filepath.Join(t.TempDir(), "r")
	must(t, im.Unpack(d))
	want := tree(t, src)
	delete(want, "sock")
	if got := tree(t, d); !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	for _, n := range []string{"bin/sh", "bin/ash", "null", "bin"} {
		var a, b unix.Stat_t
		must(t, unix.Lstat(filepath.Join(src, n), &a))
		must(t, unix.Lstat(filepath.Join(d, n), &b))
		if a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid || a.Nlink != b.Nlink || a.Rdev != b.Rdev || a.Mtim != b.Mtim {
			t.Errorf("%s: %+v became %+v", n, a, b)
		}
	}
	if got, err := xattrs(filepath.Join(d, "bin/ash")); err != nil || got[paxXattr+"security.capability"] != netBind {
		t.Errorf("attributes %q, %v", got, err)
	}
}

func TestBuildIsReproducible(t *testing.T) {
	var first []byte
	for range 2 {
		var buf bytes.Buffer
		must(t, Builder{Platform: "linux/arm64", Mtime: time.Unix(1, 0)}.Write(&buf, sample(t), Config{Labels: map[string]string{"b": "1", "a": "2"}}))
		if first == nil {
			first = buf.Bytes()
		} else if !bytes.Equal(first, buf.Bytes()) {
			t.Error("two runs differ")
		}
	}
}

func TestBuildErrors(t *testing.T) {
	d := t.TempDir()
	if err := WriteOCIArchive(io.Discard, filepath.Join(d, "no"), Config{}); err == nil {
		t.Error("a missing directory was packed")
	}
	if err := (Builder{Platform: "x"}).Write(io.Discard, d, Config{}); err == nil {
		t.Error("a bad platform was accepted")
	}
	must(t, os.WriteFile(filepath.Join(d, ".wh.x"), nil, 0o600))
	if err := WriteOCIArchive(io.Discard, d, Config{}); err == nil || !strings.Contains(err.Error(), ".wh.x") {
		t.Errorf("got %v", err)
	}
}

// TestPeerReadsOurs has another implementation check what we write.
func TestPeerReadsOurs(t *testing.T) {
	var buf bytes.Buffer
	must(t, WriteOCIArchive(&buf, sample(t), Config{Cmd: []string{"sh"}}))
	d := t.TempDir()
	for tr := tar.NewReader(&buf); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		raw, err := io.ReadAll(tr)
		must(t, err)
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(d, hdr.Name)), 0o755))
		must(t, os.WriteFile(filepath.Join(d, hdr.Name), raw, 0o600))
	}
	p, err := layout.FromPath(d)
	must(t, err)
	index, err := p.ImageIndex()
	must(t, err)
	manifest, err := index.IndexManifest()
	must(t, err)
	img, err := p.Image(manifest.Manifests[0].Digest)
	must(t, err)
	config, err := img.ConfigFile()
	must(t, err)
	if config.Architecture != runtime.GOARCH || config.Config.Cmd[0] != "sh" {
		t.Errorf("configuration %+v", config)
	}
	layers, err := img.Layers()
	must(t, err)
	content, err := layers[0].Uncompressed()
	must(t, err)
	got, _, err := ggcr.SHA256(content)
	must(t, err)
	if len(layers) != 1 || got != config.RootFS.DiffIDs[0] {
		t.Errorf("%d layers, the first is %s, want %s", len(layers), got, config.RootFS.DiffIDs[0])
	}
}

// TestWeReadPeers reads what another implementation writes, in both formats.
func TestWeReadPeers(t *testing.T) {
	img, err := mutate.ConfigFile(empty.Image, &ggcr.ConfigFile{OS: "linux", Architecture: "amd64", Config: ggcr.Config{User: "u"}})
	must(t, err)
	for _, raw := range [][]byte{tarOf(t, file("a", "1"), file("b", "2")), tarOf(t, file(".wh.a", ""))} {
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil })
		must(t, err)
		img, err = mutate.AppendLayers(img, l)
		must(t, err)
	}
	docker := filepath.Join(t.TempDir(), "docker.tar")
	tag, err := name.NewTag("example:latest")
	must(t, err)
	must(t, tarball.WriteToFile(docker, tag, img))
	oci := t.TempDir()
	p, err := layout.Write(oci, empty.Index)
	must(t, err)
	must(t, p.AppendImage(img))
	for _, path := range []string{docker, oci} {
		im := openAMD64(t, path)
		d := filepath.Join(t.TempDir(), "r")
		must(t, im.Unpack(d))
		if got := tree(t, d); len(got) != 1 || got["b"] != "2" || im.Config().User != "u" {
			t.Errorf("%s: %v", path, got)
		}
		if want, _ := img.ConfigName(); im.ID() != want.String() {
			t.Errorf("%s: ID %s, want %s", path, im.ID(), want)
		}
	}
}
