// Package template keeps saved machines: a driver boots one, saves it, and starts
// any number from what was saved, each with its own copy of what it changes.
//
// A template is a directory with the machine's memory and the state of its
// devices, and a description that says what it was made from. It is good until one of
// those files changes or the host restarts; then the next start makes it anew. It
// appears with one rename, so that nobody sees half of one, and is used by open
// files, so that it can be removed while machines run from it.
//
// The package does not know any monitor and does not start machines. It does not
// keep a template across restarts of the host: the host's processor, kernel and
// unwritten pages need then not be those that it was made with.
package template

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Files of a template that Recipe.Make writes.
const (
	Memory = "memory" // the guest's; as long as it is, with holes
	State  = "state"  // of the devices
	Output = "output" // what the agent said before anybody answered
	Log    = "log"    // what the guest's console printed

	description = "template.json"
)

// Input is a file that a template is made from.
type Input struct {
	Path  string // on the host
	Place string // for the driver's use: where the machine's monitor sees it
}

// Recipe says what a template is and how it is made.
type Recipe struct {
	// Name is for people.
	Name string
	// Key is what determines the machine, apart from the contents of files.
	Key []string
	// Inputs lists the files whose contents determine it. Asked only before Make.
	Inputs func() ([]Input, error)
	// Make writes the template's files into an existing directory.
	Make func(dir string, inputs []Input) error
}

// ID is the name of the recipe's template in its store.
func (r *Recipe) ID() string {
	h := sha256.New()
	for _, k := range r.Key {
		fmt.Fprintf(h, "%d:%s", len(k), k)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Template is one in use. The caller closes it once the monitor has its files.
type Template struct {
	// MemoryFile and StateFile are open for reading.
	MemoryFile, StateFile *os.File
	Output, Log           []byte
	Inputs                []Input

	dir string
}

// Check says why the template is not good any more, nil if it is. It may be called after
// Close.
func (t *Template) Check() error {
	_, err := load(t.dir)
	return err
}

// Close closes the files.
func (t *Template) Close() {
	for _, f := range []*os.File{t.MemoryFile, t.StateFile} {
		if f != nil {
			f.Close()
		}
	}
}

// identity is what changes when a file is replaced or written.
type identity struct {
	Path, Place      string
	Dev, Ino         uint64
	Size             int64
	Modified, Change int64 // nanoseconds since the epoch
}

// record is the description of a template.
type record struct {
	Name    string
	Key     []string
	Created time.Time
	Boot    string // boot id of the host
	Inputs  []identity
	Files   map[string]identity
	SHA256  string // of State; a monitor trusts it
}

func identify(in Input) (identity, error) {
	var st unix.Stat_t
	if err := unix.Stat(in.Path, &st); err != nil {
		return identity{}, &os.PathError{Op: "stat", Path: in.Path, Err: err}
	}
	return identity{Path: in.Path, Place: in.Place, Dev: st.Dev, Ino: st.Ino, Size: st.Size, Modified: st.Mtim.Nano(), Change: st.Ctim.Nano()}, nil
}

// member identifies one of a template's own files; the directory may move.
func member(dir, name string) (identity, error) {
	id, err := identify(Input{Path: filepath.Join(dir, name)})
	id.Path = ""
	return id, err
}

// bootID is another after each restart of the host.
func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}

// maxFile bounds the files that are read whole, in bytes.
const maxFile = 16 << 20

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return b, err
}

// describe writes the description of what Make has written.
func describe(dir string, r *Recipe, inputs []identity) error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	state, err := readFile(filepath.Join(dir, State))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(state)
	rec := record{Name: r.Name, Key: r.Key, Created: time.Now().UTC(), Boot: boot, Inputs: inputs,
		Files: map[string]identity{}, SHA256: hex.EncodeToString(sum[:])}
	for _, name := range []string{Memory, State, Output, Log} {
		if rec.Files[name], err = member(dir, name); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, description), append(b, '\n'), 0o600)
}

// load reads a template's description and checks it against the host as it is now.
// The error says why the template is not good.
func load(dir string) (*record, error) {
	b, err := readFile(filepath.Join(dir, description))
	if err != nil {
		return nil, err
	}
	var rec record
	if err := json.Unmarshal(b, &rec); err != nil {
		return nil, fmt.Errorf("%s: %w", description, err)
	}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	if rec.Boot != boot {
		return &rec, errors.New("the host was restarted")
	}
	for _, was := range rec.Inputs {
		is, err := identify(Input{was.Path, was.Place})
		if err != nil {
			return &rec, err
		}
		if is != was {
			return &rec, fmt.Errorf("%s has changed", was.Path)
		}
	}
	for name, was := range rec.Files {
		is, err := member(dir, name)
		if err != nil {
			return &rec, err
		}
		if is.Size != was.Size {
			return &rec, fmt.Errorf("%s has %d bytes, not %d", name, is.Size, was.Size)
		}
		if is != was {
			return &rec, fmt.Errorf("%s was changed", name)
		}
	}
	return &rec, nil
}

// open opens a template that is good.
func open(dir string, r *Recipe) (_ *Template, err error) {
	rec, err := load(dir)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(rec.Key, r.Key) {
		return nil, errors.New("it is of another machine")
	}
	t := &Template{dir: dir}
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	for _, in := range rec.Inputs {
		t.Inputs = append(t.Inputs, Input{in.Path, in.Place})
	}
	if t.MemoryFile, err = os.Open(filepath.Join(dir, Memory)); err != nil {
		return nil, err
	}
	if t.StateFile, err = os.Open(filepath.Join(dir, State)); err != nil {
		return nil, err
	}
	h := sha256.New()
	if _, err = io.Copy(h, io.LimitReader(t.StateFile, maxFile)); err != nil {
		return nil, err
	}
	if hex.EncodeToString(h.Sum(nil)) != rec.SHA256 {
		return nil, fmt.Errorf("%s was changed", State)
	}
	if _, err = t.StateFile.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if t.Output, err = readFile(filepath.Join(dir, Output)); err != nil {
		return nil, err
	}
	t.Log, err = readFile(filepath.Join(dir, Log))
	return t, err
}
