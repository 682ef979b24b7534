package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"kata/check"
	"kata/config"
	"kata/vm"
)

// checkReport is what kata check prints.
type checkReport struct {
	// Config says where the settings come from.
	Config           string           `json:"config"`
	Hypervisor       string           `json:"hypervisor"`
	MinimumIsolation string           `json:"minimumIsolation"`
	Machines         []checkedMachine `json:"machines"`
	Host             []checkedFact    `json:"host"`
	// Chosen is the driver that a container would get now; empty if none.
	Chosen    string       `json:"chosen,omitempty"`
	Isolation vm.Isolation `json:"isolation,omitempty"`
	// Error is what a start would say; empty if it would work.
	Error string `json:"error,omitempty"`
}

// checkedMachine is one kind of machine.
type checkedMachine struct {
	Name      string         `json:"name"`
	Works     bool           `json:"works"`
	Isolation vm.Isolation   `json:"isolation,omitempty"`
	MaxVCPUs  int            `json:"maxVCPUs,omitempty"`
	Reason    *checkedReason `json:"reason,omitempty"`
}

// checkedFact is something of the host's that machines use.
type checkedFact struct {
	Name     string         `json:"name"`
	Optional bool           `json:"optional"`
	Works    bool           `json:"works"`
	Reason   *checkedReason `json:"reason,omitempty"`
}

type checkedReason struct {
	Kind   check.Kind `json:"kind,omitempty"`
	Cause  string     `json:"cause"`
	Remedy string     `json:"remedy,omitempty"`
}

func kataCheck(a *app, args []string) error {
	fs := newFlags("check")
	asJSON := fs.Bool("json", false, "print the result as JSON")
	a.choices(fs)
	if err := parse(fs, args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("check: unexpected argument %q", fs.Arg(0))
	}
	cfg, err := config.Load(a.config)
	if err != nil {
		return err
	}
	if a.hypervisor != "" {
		cfg.Hypervisor = a.hypervisor
	}
	if a.isolation != "" {
		cfg.MinimumIsolation = a.isolation
	}
	minimum, err := vm.ParseIsolation(cfg.MinimumIsolation)
	if err != nil {
		return err
	}
	r := survey(cfg, minimum)
	if *asJSON {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return err
		}
	} else {
		a.printCheck(r)
	}
	if r.Chosen == "" {
		return exitError(1)
	}
	return nil
}

// survey looks at all machines, and decides as a start would.
func survey(cfg *config.Config, minimum vm.Isolation) *checkReport {
	r := &checkReport{Config: cfg.Source, Hypervisor: cfg.Hypervisor, MinimumIsolation: cfg.MinimumIsolation}
	for _, f := range vm.Survey(cfg.DriverOptions) {
		m := checkedMachine{Name: f.Driver, Isolation: f.Isolation, MaxVCPUs: f.MaxVCPUs}
		if f.Variant != "" {
			m.Name += "/" + f.Variant
		}
		if f.Err == nil {
			_, _, f.Err = cfg.GuestFiles(f.KernelFile, f.AgentFile)
		}
		m.Works, m.Reason = f.Err == nil, reasonOf(f.Err)
		r.Machines = append(r.Machines, m)
	}
	host := check.This()
	for _, fact := range []struct {
		name     string
		optional bool
		reason   *check.Reason
	}{{"kvm", false, check.KVM()}, {"vhost-vsock", true, host.Vhost(check.VhostVsock)}, {"vhost-net", true, host.Vhost(check.VhostNet)}, {"tun", true, host.Tun()}} {
		f := checkedFact{Name: fact.name, Optional: fact.optional, Works: fact.reason == nil}
		if fact.reason != nil {
			f.Reason = reasonOf(fact.reason)
		}
		r.Host = append(r.Host, f)
	}
	driver, caps, err := vm.Choose(cfg.Hypervisor, runtime.GOARCH, minimum, cfg.DriverOptions)
	if in, ok := driver.(vm.Inspector); ok && err == nil {
		err = in.Inspect(cfg.DriverOptions(driver.Name()))
	}
	if err == nil {
		_, _, err = cfg.GuestFiles(caps.KernelFile, caps.AgentFile)
	}
	if err != nil {
		r.Error = oneLine(err.Error())
		return r
	}
	r.Chosen, r.Isolation = driver.Name(), caps.Isolation
	return r
}

func reasonOf(err error) *checkedReason {
	if err == nil {
		return nil
	}
	if u, ok := errors.AsType[*vm.Unavailable](err); ok {
		return &checkedReason{u.Kind, oneLine(u.Cause), u.Remedy}
	}
	if r, ok := errors.AsType[*check.Reason](err); ok {
		return &checkedReason{r.Kind, oneLine(r.Cause), r.Remedy}
	}
	return &checkedReason{Cause: oneLine(err.Error())}
}

// printCheck prints a table: one line for each machine and fact, and below what is
// missing what helps.
func (a *app) printCheck(r *checkReport) {
	const row = "%-12s %-10s %-5s %s\n"
	line := func(name, isolation string, works bool, note string, why *checkedReason) {
		answer := "yes"
		if !works {
			answer, note = "no", why.Cause
		}
		fmt.Fprint(a.stdout, strings.TrimRight(fmt.Sprintf(row, name, isolation, answer, note), " \n")+"\n")
		if why != nil && why.Remedy != "" {
			fmt.Fprintf(a.stdout, row, "", "", "", "-> "+why.Remedy)
		}
	}
	fmt.Fprintf(a.stdout, row, "MACHINE", "ISOLATION", "WORKS", "NOTE")
	for _, m := range r.Machines {
		isolation := string(m.Isolation)
		if isolation == "" {
			isolation = "-"
		}
		line(m.Name, isolation, m.Works, fmt.Sprintf("up to %d vCPUs", m.MaxVCPUs), m.Reason)
	}
	fmt.Fprintln(a.stdout)
	fmt.Fprintf(a.stdout, row, "HOST", "NEEDED", "WORKS", "NOTE")
	for _, f := range r.Host {
		needed := "hardware"
		if f.Optional {
			needed = "no"
		}
		line(f.Name, needed, f.Works, "", f.Reason)
	}
	fmt.Fprintf(a.stdout, "\nhypervisor %s, at least %s isolation (%s)\n", r.Hypervisor, r.MinimumIsolation, r.Config)
	if r.Chosen == "" {
		fmt.Fprintf(a.stdout, "a container would not start: %s\n", r.Error)
		return
	}
	fmt.Fprintf(a.stdout, "a container would get: %s, %s isolation\n", r.Chosen, r.Isolation)
}
