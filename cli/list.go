package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/oci"
	"kata/sandbox/proxy"
	"kata/sandbox/state"
)

// specVersion is the version of the OCI runtime specification.
var specVersion = specs.Version

func (a *app) printJSON(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s\n", b)
	return err
}

func ownerName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "#" + strconv.Itoa(uid)
}

func writeSpec(dir string) error {
	file := filepath.Join(dir, oci.ConfigName)
	b, err := json.MarshalIndent(oci.DefaultSpec(), "", "\t")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("file %s exists; remove it first", file)
	}
	if err != nil {
		return err
	}
	if _, err := f.Write(append(b, '\n')); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func cmdList(a *app, args []string) error {
	fs := newFlags("list")
	format := fs.String("format", "table", "table or json")
	fs.StringVar(format, "f", "table", "same as --format")
	quiet := fs.Bool("quiet", false, "print ids only")
	fs.BoolVar(quiet, "q", false, "same as --quiet")
	if err := parse(fs, args); err != nil {
		return err
	}
	ids, err := state.List(a.root)
	if err != nil {
		return err
	}
	containers := []*container{}
	for _, id := range ids {
		if c, err := a.inspect(id); err == nil { // one may have gone since
			containers = append(containers, c)
		}
	}
	switch {
	case *quiet:
		for _, c := range containers {
			fmt.Fprintln(a.stdout, c.ID)
		}
		return nil
	case *format == "json":
		return a.printJSON(containers)
	case *format != "table":
		return fmt.Errorf("list: --format %q: must be table or json", *format)
	}
	w := tabwriter.NewWriter(a.stdout, 12, 1, 3, ' ', 0)
	fmt.Fprint(w, "ID\tPID\tSTATUS\tISOLATION\tBUNDLE\tCREATED\tOWNER\n")
	for _, c := range containers {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", c.ID, c.Pid, c.Status, c.Kata.Isolation, c.Bundle, c.Created, c.Owner)
	}
	return w.Flush()
}

func cmdPS(a *app, args []string) error {
	fs := newFlags("ps")
	format := fs.String("format", "table", "table or json")
	fs.StringVar(format, "f", "table", "same as --format")
	if err := parse(fs, args); err != nil {
		return err
	}
	if fs.NArg() < 1 {
		return errors.New("ps: needs a container id")
	}
	id, err := checkID(fs.Arg(0))
	if err != nil {
		return err
	}
	resp, err := a.call(id, &proxy.Request{Op: proxy.List})
	if err != nil {
		return err
	}
	if *format == "json" {
		return a.printStandins(id, resp.Standins)
	}
	if *format != "table" {
		return fmt.Errorf("ps: --format %q: must be table or json", *format)
	}
	w := tabwriter.NewWriter(a.stdout, 8, 1, 2, ' ', 0)
	fmt.Fprint(w, "UID\tPID\tPPID\tTIME\tRSS\tCMD\n")
	for _, p := range resp.Processes {
		cpu := time.Duration(p.CPUTick) * 10 * time.Millisecond
		fmt.Fprintf(w, "%d\t%d\t%d\t%s\t%d\t%s\n", p.UID, p.PID, p.PPID, clock(cpu), p.RSSKiB, strings.TrimSpace(p.Command))
	}
	return w.Flush()
}

// printStandins prints pids as engines want them, who look for them among the host's
// processes: those of the host that stand for the container's. A number of the guest's
// would be some other process there.
func (a *app) printStandins(id string, others []int) error {
	r, err := state.At(a.root, id).Load()
	if err != nil {
		return fmt.Errorf("container %q: %w", id, err)
	}
	pids := []int{}
	if r.Shim.Alive() {
		pids = append(pids, r.Shim.PID)
	}
	return a.printJSON(append(pids, others...))
}

func clock(d time.Duration) string {
	s := int(d.Seconds())
	return fmt.Sprintf("%02d:%02d:%02d", s/3600, s/60%60, s%60)
}
