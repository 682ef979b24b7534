package image

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"
)

// layer is one layer of an image: a tar archive, compressed or not.
type layer struct {
	name   string        // in files
	digest digest.Digest // of the file; "" if the archive does not say
	size   int64         // of the file in bytes; -1 if the archive does not say
	diffID digest.Digest // of the uncompressed content
}

// read passes the uncompressed layer to apply and verifies it. What apply did
// must be thrown away if read fails. A wrong digest is reported before what
// apply says of the content, for it is the cause.
func (l layer) read(f files, limit int64, apply func(io.Reader) error) error {
	file, size, err := f.open(l.name)
	if err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	defer file.Close()
	if l.size >= 0 && l.size != size {
		return fmt.Errorf("%s: has %d bytes, the manifest says %d: %w", l.name, size, l.size, ErrDigest)
	}
	packed := verify(file, l.digest)
	err = l.readPacked(packed, limit, apply)
	if derr := packed.finish(); derr != nil {
		err = derr
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("is truncated: %w", err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	return nil
}

func (l layer) readPacked(packed io.Reader, limit int64, apply func(io.Reader) error) error {
	unpacked, closer, err := decompress(packed)
	if err != nil {
		return err
	}
	defer closer()
	plain := verify(&bounded{unpacked, limit}, l.diffID)
	if err := apply(plain); err != nil {
		return err
	}
	return plain.finish()
}

// verified hashes what is read through it.
type verified struct {
	io.Reader
	want digest.Digest
	hash digest.Digester
}

// verify returns a reader that can check r against want; nothing is checked if
// want is empty.
func verify(r io.Reader, want digest.Digest) *verified {
	if want == "" {
		return &verified{Reader: r}
	}
	h := want.Algorithm().Digester()
	return &verified{io.TeeReader(r, h.Hash()), want, h}
}

// finish reads what is left and compares.
func (v *verified) finish() error {
	if _, err := io.Copy(io.Discard, v.Reader); err != nil {
		return err
	}
	if v.hash != nil && v.hash.Digest() != v.want {
		return fmt.Errorf("%w: is %s, want %s", ErrDigest, v.hash.Digest(), v.want)
	}
	return nil
}

// bounded fails, unlike io.LimitReader, if there is more than left bytes.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("uncompressed content: %w", ErrTooLarge)
	}
	return n, err
}

// maxWindow bounds the memory a zstd frame can ask for, in bytes; the format
// recommends that decoders support at least 8 MiB (RFC 8878, 3.1.1.1.2), and
// `zstd --ultra` asks for up to 128 MiB.
const maxWindow = 128 << 20

// compressions by the first bytes. Media types are not asked: docker save has
// none, and tools get them wrong.
var compressions = []struct {
	name  string
	magic []byte
	open  func(io.Reader) (io.Reader, func(), error)
}{
	{"gzip", []byte{0x1f, 0x8b}, func(r io.Reader) (io.Reader, func(), error) {
		z, err := gzip.NewReader(r)
		return z, func() {}, err
	}},
	{"zstd", []byte{0x28, 0xb5, 0x2f, 0xfd}, func(r io.Reader) (io.Reader, func(), error) {
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}},
}

// decompress returns the plain content of r and a function that frees what the
// decompressor holds.
func decompress(r io.Reader) (io.Reader, func(), error) {
	br := bufio.NewReaderSize(r, 128<<10)
	head, err := br.Peek(4)
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	for _, c := range compressions {
		if bytes.HasPrefix(head, c.magic) {
			return c.open(br)
		}
	}
	return br, func() {}, nil
}
