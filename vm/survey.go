package vm

import "maps"

// Finding is what one kind of machine would be on this host.
type Finding struct {
	Driver  string
	Variant string // empty where the driver has only one
	Capabilities
	// Err is why it would not work; nil if it would.
	Err error
}

// Survey asks every driver for each of its variants, without choosing. It looks
// closer than Choose, and takes longer.
func Survey(options func(driver string) map[string]string) []Finding {
	var all []Finding
	for _, d := range registry {
		variants := []Variant{{}}
		if v, ok := d.(Varied); ok {
			variants = v.Variants()
		}
		for _, v := range variants {
			o := maps.Clone(options(d.Name()))
			if o == nil {
				o = map[string]string{}
			}
			maps.Copy(o, v.Options)
			f := Finding{Driver: d.Name(), Variant: v.Name}
			f.Capabilities, f.Err = d.Probe(o)
			if in, ok := d.(Inspector); ok && f.Err == nil {
				f.Err = in.Inspect(o)
			}
			all = append(all, f)
		}
	}
	return all
}
