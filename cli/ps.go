package cli

import (
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"kata/agent/api"
	"kata/sandbox/proxy"
	"kata/sandbox/state"
)

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
	// runc runs the host's ps, which knows no process of a guest.
	if o := fs.Args()[1:]; len(o) > 0 && !slices.Equal(o, []string{"-ef"}) {
		return fmt.Errorf("ps: options of ps: %q: only -ef is there, which is what is printed without; use the ps of the container with exec", o)
	}
	resp, err := a.call(id, &proxy.Request{Op: proxy.List})
	if errors.Is(err, state.ErrGone) {
		resp, err = &proxy.Response{}, nil // a container that has stopped has no processes
	}
	if err != nil {
		return err
	}
	switch *format {
	case "json":
		return a.printStandins(id, resp.Standins)
	case "table":
		return a.printProcesses(resp.Processes, time.Now())
	}
	return fmt.Errorf("ps: --format %q: must be table or json", *format)
}

// printStandins prints pids as engines want them, who look for them among the host's
// processes: those of the host that stand for the container's. A number of the guest's
// would be some other process there.
func (a *app) printStandins(id string, others []int) error {
	r, err := state.At(a.root, id).Load()
	if err != nil {
		return fmt.Errorf("container %q: %w", id, err)
	}
	var pids []int // none is null, as with runc
	if r.Shim.Alive() {
		pids = append(pids, r.Shim.PID)
	}
	return a.printLine(append(pids, others...))
}

// printProcesses prints what ps -ef would, with the guest's pids.
func (a *app) printProcesses(list []api.ProcessInfo, now time.Time) error {
	w := tabwriter.NewWriter(a.stdout, 8, 1, 2, ' ', 0)
	fmt.Fprint(w, "UID\tPID\tPPID\tC\tSTIME\tTTY\tTIME\tCMD\n")
	for _, p := range list {
		percent := min(99, 100*p.CPUTick/max(1, p.Age))
		begin := now.Add(-ticks(p.Age))
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", userName(p.UID), p.PID, p.PPID, percent, startTime(begin, now), terminal(p.TTY), clock(ticks(p.CPUTick)), p.Command)
	}
	return w.Flush()
}

func ticks(n uint64) time.Duration { return time.Duration(n) * 10 * time.Millisecond }

// userName is the host's for the number, as with runc.
func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

func startTime(begin, now time.Time) string {
	switch {
	case now.Sub(begin) < 24*time.Hour:
		return begin.Format("15:04")
	case begin.Year() == now.Year():
		return begin.Format("Jan02")
	}
	return begin.Format("2006")
}

// terminal names a device of proc(5)'s tty_nr; others than those of devpts are numbers.
func terminal(nr uint32) string {
	major, minor := nr>>8&0xfff, nr&0xff|nr>>12&0xfff00
	switch {
	case nr == 0:
		return "?"
	case major == 136:
		return fmt.Sprintf("pts/%d", minor)
	}
	return fmt.Sprintf("%d:%d", major, minor)
}

func clock(d time.Duration) string {
	s := int(d.Seconds())
	return fmt.Sprintf("%02d:%02d:%02d", s/3600, s/60%60, s%60)
}
