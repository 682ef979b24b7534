package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// packer writes a directory as a layer.
type packer struct {
	tw    *tar.Writer
	root  string
	mtime time.Time
	names map[inode]string // of files with several names, the first
}

type inode struct{ dev, ino uint64 }

func packDir(w io.Writer, root string, mtime time.Time) error {
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return err
	}
	p := &packer{tar.NewWriter(w), root, mtime, make(map[inode]string)}
	// WalkDir goes in lexical order and follows no symbolic links.
	if err := filepath.WalkDir(root, p.visit); err != nil {
		return err
	}
	return p.tw.Close()
}

func (p *packer) visit(file string, d fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	if strings.HasPrefix(d.Name(), whiteoutPrefix) && file != p.root {
		return fmt.Errorf("%s: a name that starts with %s would remove a file", file, whiteoutPrefix)
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket != 0 {
		return nil
	}
	hdr, err := p.header(file, info)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := p.tw.WriteHeader(hdr); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if hdr.Typeflag != tar.TypeReg {
		return nil
	}
	return p.content(file, hdr.Size)
}

func (p *packer) header(file string, info fs.FileInfo) (*tar.Header, error) {
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		var err error
		if target, err = os.Readlink(file); err != nil {
			return nil, err
		}
	}
	hdr, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return nil, err
	}
	name, err := filepath.Rel(p.root, file)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		name += "/"
	}
	// The host's names for owners mean nothing in an image, and the other
	// times would differ with every run.
	hdr.Name, hdr.Uname, hdr.Gname = name, "", ""
	hdr.AccessTime, hdr.ChangeTime = time.Time{}, time.Time{}
	hdr.Format = tar.FormatPAX
	if !p.mtime.IsZero() {
		hdr.ModTime = p.mtime
	}
	if p.linked(hdr, info) {
		return hdr, nil
	}
	hdr.PAXRecords, err = xattrs(file)
	return hdr, err
}

// linked makes hdr a hard link if the file was packed under another name.
func (p *packer) linked(hdr *tar.Header, info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Nlink < 2 || info.IsDir() {
		return false
	}
	key := inode{st.Dev, st.Ino}
	first, ok := p.names[key]
	if !ok {
		p.names[key] = hdr.Name
		return false
	}
	hdr.Typeflag, hdr.Linkname, hdr.Size = tar.TypeLink, first, 0
	return true
}

func (p *packer) content(file string, size int64) error {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.CopyN(p.tw, f, size); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// xattrs reads the attributes that setXattrs sets, as records for tar.
func xattrs(file string) (map[string]string, error) {
	list := make([]byte, 64<<10) // the most the kernel gives, listxattr(2)
	n, err := unix.Llistxattr(file, list)
	if err == unix.ENOTSUP {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list attributes: %w", err)
	}
	records := make(map[string]string)
	for raw := range bytes.SplitSeq(list[:n], []byte{0}) {
		attr := string(raw)
		if !portableXattr(attr) {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(file, attr, value)
		if err != nil {
			return nil, fmt.Errorf("read attribute %s: %w", attr, err)
		}
		records[paxXattr+attr] = string(value[:n])
	}
	return records, nil
}
