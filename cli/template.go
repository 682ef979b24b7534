package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os/signal"
	"strconv"
	"text/tabwriter"

	"golang.org/x/sys/unix"

	"kata/config"
	"kata/sandbox/proxy"
	"kata/vm"
	"kata/vm/template"
)

// templateVerbs are those of kata template.
var templateVerbs = []verb{
	{"create", "[--memory SIZE] [--cpus N] [--interfaces N]", "save the machines that containers with such limits start from, and print their ids", templateCreate},
	{"list", "[--format table|json]", "list saved machines", templateList},
	{"remove", "(--all | ID...)", "remove saved machines; those that have started from them go on", templateRemove},
}

func kataTemplate(a *app, args []string) error {
	fs := newFlags("template")
	if err := parse(fs, args); err != nil {
		return err
	}
	found := find(templateVerbs, fs.Arg(0))
	if found == nil {
		return fmt.Errorf("template: no command %q; there are create, list and remove", fs.Arg(0))
	}
	v := *found
	v.name = "template " + v.name
	if code := a.runVerb(v, fs.Args()[1:]); code != 0 {
		return exitError(code)
	}
	return nil
}

func templateCreate(a *app, args []string) error {
	fs := newFlags("template create")
	var memory, cpus string
	fs.StringVar(&memory, "memory", "", "memory limit of the containers, such as 256m (default: none)")
	fs.StringVar(&cpus, "cpus", "", "CPU limit of the containers, such as 2 (default: none)")
	interfaces := fs.Int("interfaces", 1, "network interfaces of containers that have a network")
	a.choices(fs)
	if err := noArguments(fs, args); err != nil {
		return err
	}
	limits, err := (&runFlags{memory: memory, cpus: cpus}).limits()
	if err != nil {
		return err
	}
	mib, share := 0, 0.0
	if limits.Memory != nil {
		mib = int(math.Ceil(float64(*limits.Memory.Limit) / (1 << 20)))
	}
	if limits.CPU != nil {
		share = float64(*limits.CPU.Quota) / float64(*limits.CPU.Period)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	ids, err := proxy.SaveTemplates(ctx, &proxy.Choice{Config: a.config, Hypervisor: a.hypervisor, Isolation: a.isolation, Debug: a.debug}, mib, share, *interfaces)
	for _, id := range ids {
		fmt.Fprintln(a.stdout, id)
	}
	return err
}

// choices are the global flags that choose a machine, which may follow the verb, too.
func (a *app) choices(fs *flag.FlagSet) {
	fs.StringVar(&a.isolation, "isolation", a.isolation, "least isolation to accept: hardware or software")
	fs.StringVar(&a.hypervisor, "hypervisor", a.hypervisor, "hypervisor to use, or auto")
}

// stores are where the configuration has saved machines.
func (a *app) stores() ([]*template.Store, error) {
	cfg, err := config.Load(a.config)
	if err != nil {
		return nil, err
	}
	var all []*template.Store
	for _, d := range vm.Drivers() {
		if t, ok := d.(vm.Templated); ok {
			all = append(all, t.Templates(cfg.DriverOptions(d.Name())))
		}
	}
	return all, nil
}

func templateList(a *app, args []string) error {
	fs := newFlags("template list")
	format := fs.String("format", "table", "table or json")
	if err := noArguments(fs, args); err != nil {
		return err
	}
	stores, err := a.stores()
	if err != nil {
		return err
	}
	list := []template.Info{}
	for _, s := range stores {
		l, err := s.List()
		if err != nil {
			return err
		}
		list = append(list, l...)
	}
	switch *format {
	case "json":
		return a.printJSON(list)
	case "table":
	default:
		return fmt.Errorf("template list: --format %q: must be table or json", *format)
	}
	w := tabwriter.NewWriter(a.stdout, 8, 1, 3, ' ', 0)
	fmt.Fprint(w, "ID\tMB\tCREATED\tMACHINE\tSTATE\n")
	for _, i := range list {
		state := "good"
		if i.Problem != "" {
			state = "not used: " + oneLine(i.Problem)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", i.ID, strconv.FormatInt(i.Bytes/1e6, 10), i.Created.Format("2006-01-02T15:04:05Z"), i.Name, state)
	}
	return w.Flush()
}

func templateRemove(a *app, args []string) error {
	fs := newFlags("template remove")
	all := fs.Bool("all", false, "remove all")
	if err := parse(fs, args); err != nil {
		return err
	}
	if *all == (fs.NArg() > 0) {
		return errors.New("template remove: needs either ids or --all")
	}
	stores, err := a.stores()
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range stores {
		errs = append(errs, s.Remove(context.Background(), fs.Args()...))
	}
	return errors.Join(errs...)
}
