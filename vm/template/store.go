package template

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Store is a directory of templates. Its methods may be called by several
// processes at once.
type Store struct{ dir string }

// NewStore returns the store in a directory, which is made when a template is.
func NewStore(dir string) *Store { return &Store{dir} }

const (
	// unfinished begins the names of templates that are being made.
	unfinished = "unfinished-"
	lockName   = "lock"
	// most is how many templates are kept; those that were not used for the longest
	// time go. Each has some 60 MB of memory and belongs to one size of machine.
	most = 8
	// lockPoll is how often a lock that another has is tried again.
	lockPoll = 10 * time.Millisecond
)

// isID matches what Recipe.ID returns.
var isID = regexp.MustCompile(`^[0-9a-f]{16}$`)

// Get opens the template of a recipe, and makes it first if there is none that is
// good. Whoever asks while it is made waits.
func (s *Store) Get(ctx context.Context, r *Recipe) (*Template, error) {
	dir := filepath.Join(s.dir, r.ID())
	t, err := open(dir, r)
	if err == nil {
		now := time.Now()
		_ = os.Chtimes(dir, now, now) // at worst it goes earlier than others
		return t, nil
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	defer unlock()
	if t, err := open(dir, r); err == nil { // who had the lock has made it
		return t, nil
	}
	if err := s.clean(r.ID()); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	if err := s.create(dir, r); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	t, err = open(dir, r)
	if err != nil {
		err = fmt.Errorf("template %s, just made: %w", dir, err)
	}
	return t, err
}

// create makes a template beside its place and moves it there.
func (s *Store) create(dir string, r *Recipe) (err error) {
	work, err := os.MkdirTemp(s.dir, unfinished)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(work))
		}
	}()
	inputs, err := r.Inputs()
	if err != nil {
		return err
	}
	// Before they are used: a change from now on makes the template a bad one.
	var ids []identity
	for _, in := range inputs {
		id, err := identify(in)
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if err := r.Make(work, inputs); err != nil {
		return err
	}
	if err := describe(work, r, ids); err != nil {
		return err
	}
	return os.Rename(work, dir)
}

// lock makes the store if it is not there and keeps all others from changing it.
// The kernel ends the lock with the process.
func (s *Store) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	if err := private(s.dir); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(s.dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for another that makes a template: %w", context.Cause(ctx))
		case <-time.After(lockPoll):
		}
	}
}

// private says whether nobody but this user can look into a directory: a saved
// machine's memory is as secret as a running one's.
func private(dir string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Mode&0o077 != 0 || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s must be a directory of user %d that is closed to others (chmod 700), or template_dir another one", dir, os.Geteuid())
	}
	return nil
}

// clean removes what a killed maker left, templates that are not good any more, and
// the one called id, which is about to be made; and makes room for it.
func (s *Store) clean(id string) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	type candidate struct {
		dir  string
		used time.Time
	}
	var good []candidate
	for _, e := range entries {
		dir := filepath.Join(s.dir, e.Name())
		if !e.IsDir() || !isID.MatchString(e.Name()) && !strings.HasPrefix(e.Name(), unfinished) {
			continue // not ours
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		if _, err := load(dir); err == nil && e.Name() != id {
			good = append(good, candidate{dir, fi.ModTime()})
			continue
		}
		if err := s.discard(e.Name()); err != nil {
			return err
		}
	}
	slices.SortFunc(good, func(a, b candidate) int { return b.used.Compare(a.used) })
	for len(good) >= most {
		last := len(good) - 1
		if err := s.discard(filepath.Base(good[last].dir)); err != nil {
			return err
		}
		good = good[:last]
	}
	return nil
}

// discard removes a template, with one rename for those who look for it.
func (s *Store) discard(id string) error {
	dir := filepath.Join(s.dir, id)
	if !strings.HasPrefix(id, unfinished) {
		gone := filepath.Join(s.dir, unfinished+"gone-"+id)
		if err := os.Rename(dir, gone); err != nil {
			return err
		}
		dir = gone
	}
	return os.RemoveAll(dir)
}

// Info describes a template to people.
type Info struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	Bytes   int64     `json:"bytes"`             // on the disk
	Problem string    `json:"problem,omitempty"` // why it will not be used; empty if it will
}

// List lists the templates, by name.
func (s *Store) List() ([]Info, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var list []Info
	for _, e := range entries {
		if !e.IsDir() || !isID.MatchString(e.Name()) {
			continue
		}
		dir := filepath.Join(s.dir, e.Name())
		info := Info{ID: e.Name()}
		rec, err := load(dir)
		if errors.Is(err, fs.ErrNotExist) && rec == nil {
			continue // removed, or no template
		}
		if err != nil {
			info.Problem = err.Error()
		}
		if rec != nil {
			info.Name, info.Created = rec.Name, rec.Created
		}
		for _, name := range []string{Memory, State} {
			var st unix.Stat_t
			if unix.Stat(filepath.Join(dir, name), &st) == nil {
				info.Bytes += st.Blocks * 512
			}
		}
		list = append(list, info)
	}
	slices.SortFunc(list, func(a, b Info) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	return list, nil
}

// Remove removes templates by their ids, or all. Machines that run from them go on.
func (s *Store) Remove(ctx context.Context, ids ...string) error {
	list, err := s.List()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if !slices.ContainsFunc(list, func(i Info) bool { return i.ID == id }) {
			return fmt.Errorf("there is no template %q", id)
		}
	}
	if _, err := os.Stat(s.dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	for _, i := range list {
		if len(ids) > 0 && !slices.Contains(ids, i.ID) {
			continue
		}
		if err := s.discard(i.ID); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return s.clean("")
}
