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
	"text/tabwriter"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/oci"
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

// printLine prints JSON on one line, as runc does where there may be much of it.
func (a *app) printLine(v any) error {
	b, err := json.Marshal(v)
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
	if err := noArguments(fs, args); err != nil {
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
		return a.printLine(containers)
	case *format != "table":
		return fmt.Errorf("list: --format %q: must be table or json", *format)
	}
	w := tabwriter.NewWriter(a.stdout, 12, 1, 3, ' ', 0)
	// runc's columns and one more, which comes last: scripts count.
	fmt.Fprint(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\tISOLATION\n")
	for _, c := range containers {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", c.ID, c.Pid, c.Status, c.Bundle, c.Created, c.Owner, c.Kata.Isolation)
	}
	return w.Flush()
}
