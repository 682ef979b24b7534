package image

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxAccounts is the largest passwd or group file that is read, in bytes.
const maxAccounts = 16 << 20

// ResolveUser turns user[:group], each a name or a number, into ids by the
// /etc/passwd and /etc/group of the root filesystem, as Docker does (OCI image
// spec, config.md, "User"):
//
//   - "" is root; a number need not be in /etc/passwd, a name must be;
//   - without a group, it is the user's group of /etc/passwd, or 0, and
//     AdditionalGids has the groups that list the user as a member;
//   - with a group, there are no additional ones.
//
// rootfs may be hostile: symbolic links lead nowhere out of it, and only
// regular files of up to 16 MiB are read.
func ResolveUser(rootfs, user string) (specs.User, error) {
	u, err := resolveUser(rootfs, user)
	if err != nil {
		return specs.User{}, fmt.Errorf("user %q: %w", user, err)
	}
	return u, nil
}

func resolveUser(rootfs, user string) (u specs.User, err error) {
	root, err := openRoot(rootfs)
	if err != nil {
		return u, err
	}
	defer root.close()

	userPart, groupPart, _ := strings.Cut(user, ":")
	if userPart == "" {
		userPart = "0"
	}
	id, isID := parseID(userPart)
	u.UID = id
	name, found := "", false
	err = eachAccount(root, "etc/passwd", 4, func(f []string) bool {
		uid, ok1 := parseID(f[2])
		gid, ok2 := parseID(f[3])
		found = ok1 && ok2 && (isID && uid == id || !isID && f[0] == userPart)
		if found {
			name, u.UID, u.GID = f[0], uid, gid
		}
		return found
	})
	if err != nil {
		return u, err
	}
	if !found && !isID {
		return u, fmt.Errorf("no such user in the image's /etc/passwd")
	}
	if groupPart != "" {
		u.GID, err = resolveGroup(root, groupPart)
		return u, err
	}
	u.AdditionalGids, err = groupsOf(root, name)
	return u, err
}

func resolveGroup(root *root, group string) (uint32, error) {
	if id, ok := parseID(group); ok {
		return id, nil
	}
	var gid uint32
	found := false
	err := eachAccount(root, "etc/group", 3, func(f []string) bool {
		id, ok := parseID(f[2])
		if found = ok && f[0] == group; found {
			gid = id
		}
		return found
	})
	if err == nil && !found {
		err = fmt.Errorf("no such group in the image's /etc/group")
	}
	return gid, err
}

// maxGroups is NGROUPS_MAX, setgroups(2).
const maxGroups = 65536

// groupsOf lists the groups that name a user, each once.
func groupsOf(root *root, user string) (gids []uint32, err error) {
	if user == "" {
		return nil, nil
	}
	seen := make(map[uint32]bool)
	err = eachAccount(root, "etc/group", 4, func(f []string) bool {
		id, ok := parseID(f[2])
		for member := range strings.SplitSeq(f[3], ",") {
			if ok && member == user && !seen[id] {
				seen[id] = true
				gids = append(gids, id)
			}
		}
		return len(gids) == maxGroups
	})
	return gids, err
}

// parseID takes every id but the highest, which means "none" to the kernel.
func parseID(s string) (uint32, bool) {
	id, err := strconv.ParseUint(s, 10, 32)
	return uint32(id), err == nil && id != 1<<32-1
}

// eachAccount calls f with the fields of each line that has at least so many,
// until f returns true. A missing file is an empty one.
func eachAccount(root *root, name string, fields int, f func([]string) bool) error {
	raw, err := root.readFile(name, maxAccounts)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return nil
	}
	if err != nil {
		return fmt.Errorf("/%s in the image: %w", name, err)
	}
	s := bufio.NewScanner(bytes.NewReader(raw))
	s.Buffer(nil, maxAccounts+1)
	for s.Scan() {
		line := strings.TrimSpace(s.Text())
		if parts := strings.Split(line, ":"); len(parts) >= fields && line[0] != '#' && f(parts) {
			return nil
		}
	}
	return s.Err()
}

// readFile reads a regular file. It is looked at before it is opened to be
// read: to open a device or a FIFO can have effects, or take for ever.
func (r *root) readFile(name string, limit int64) ([]byte, error) {
	fd, err := r.open(name, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("not a regular file")
	}
	f, err := os.Open("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("more than %d bytes: %w", limit, ErrTooLarge)
	}
	return raw, err
}
