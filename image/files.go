package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// files is where an image's parts are: an archive or a directory.
type files interface {
	// open opens a regular file by its slash-separated name and tells its
	// size. An error for a file that is not there wraps fs.ErrNotExist.
	open(name string) (io.ReadCloser, int64, error)
}

func openFiles(name string) (files, error) {
	st, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, cause(err)
	case st.IsDir():
		return dirFiles(name), nil
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%w: neither a file nor a directory", ErrNotImage)
	}
	return indexTar(name)
}

// dirFiles is the directory of an OCI image layout.
type dirFiles string

func (d dirFiles) open(name string) (io.ReadCloser, int64, error) {
	root, err := os.OpenRoot(string(d))
	if err != nil {
		return nil, 0, cause(err)
	}
	defer root.Close()
	// Looked at before it is opened: opening a FIFO would wait for its writer.
	if st, err := root.Stat(name); err != nil {
		return nil, 0, cause(err)
	} else if !st.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("not a regular file")
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, 0, cause(err)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, cause(err)
	}
	return f, st.Size(), nil
}

// maxArchived is how many files an archive of an image may hold: several for
// each layer.
const maxArchived = 64 * MaxLayers

// tarFiles is an archive, of which only the positions of the files are kept.
type tarFiles struct {
	path  string
	parts map[string]part
}

// A part is where a file is, or the name of another that it is a link to.
type part struct {
	offset, size int64
	link         string
}

func indexTar(name string) (*tarFiles, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	if err := refuseCompressed(f); err != nil {
		return nil, err
	}
	t := &tarFiles{path: name, parts: make(map[string]part)}
	for tr := tar.NewReader(f); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			return t, nil
		}
		if errors.Is(err, tar.ErrHeader) && len(t.parts) == 0 {
			return nil, fmt.Errorf("%w: not a tar archive", ErrNotImage)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("archive is truncated: %w", err)
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return nil, fmt.Errorf("archive: %w", err)
		}
		if len(t.parts) >= maxArchived {
			return nil, fmt.Errorf("archive: more than %d files: %w", maxArchived, ErrTooLarge)
		}
		// The reader reads whole blocks of the file and no further, so here
		// the file stands where the entry's content begins.
		offset, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, cause(err)
		}
		t.add(hdr, offset)
	}
}

func (t *tarFiles) add(hdr *tar.Header, offset int64) {
	name := path.Clean(hdr.Name)
	switch hdr.Typeflag {
	case tar.TypeReg:
		t.parts[name] = part{offset: offset, size: hdr.Size}
	case tar.TypeSymlink: // docker save, before Docker 25, for a layer that is there twice
		t.parts[name] = part{link: path.Join(path.Dir(name), hdr.Linkname)}
	case tar.TypeLink:
		t.parts[name] = part{link: path.Clean(hdr.Linkname)}
	}
}

func (t *tarFiles) open(name string) (io.ReadCloser, int64, error) {
	p, ok := t.parts[path.Clean(name)]
	for range 10 {
		if ok && p.link != "" {
			p, ok = t.parts[p.link]
		}
	}
	if !ok || p.link != "" {
		return nil, 0, fmt.Errorf("not in the archive: %w", fs.ErrNotExist)
	}
	f, err := os.Open(t.path)
	if err != nil {
		return nil, 0, cause(err)
	}
	return section{io.NewSectionReader(f, p.offset, p.size), f}, p.size, nil
}

type section struct {
	io.Reader
	io.Closer
}

func refuseCompressed(f *os.File) error {
	var head [4]byte
	n, err := f.ReadAt(head[:], 0)
	if err != nil && err != io.EOF {
		return cause(err)
	}
	if n == 0 {
		return fmt.Errorf("%w: file is empty", ErrNotImage)
	}
	for _, c := range compressions {
		if bytes.HasPrefix(head[:n], c.magic) {
			return fmt.Errorf("%w: archive is compressed with %s, decompress it first", ErrNotImage, c.name)
		}
	}
	return nil
}

// cause strips what package os puts in front of an error, where our own
// message already names the file.
func cause(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}
