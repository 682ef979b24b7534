package compile

import (
	"fmt"
	"math"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/agent/devicefilter"
)

// deviceRules reads the rules of a configuration. As with runc, the default ones
// come last, and what no rule is about is denied.
func deviceRules(list []specs.LinuxDeviceCgroup) ([]devicefilter.Rule, error) {
	var rules []devicefilter.Rule
	kinds := map[string]int32{"": 0, "a": 0, "c": devicefilter.Char, "b": devicefilter.Block}
	for i, d := range list {
		r := devicefilter.Rule{Kind: kinds[d.Type], Major: -1, Minor: -1, Allow: d.Allow}
		for _, n := range []struct {
			name string
			from *int64
			to   *int64
		}{{"major", d.Major, &r.Major}, {"minor", d.Minor, &r.Minor}} {
			if n.from == nil {
				continue
			}
			if *n.from < -1 || *n.from > math.MaxUint32 {
				return nil, field(fmt.Sprintf("linux.resources.devices[%d].%s", i, n.name), "%d is no device number", *n.from)
			}
			*n.to = *n.from
		}
		for letter, bit := range map[string]int32{"r": devicefilter.Read, "w": devicefilter.Write, "m": devicefilter.Mknod} {
			if strings.Contains(d.Access, letter) {
				r.Access |= bit
			}
		}
		rules = append(rules, r)
	}
	return append(rules, devicefilter.Defaults...), nil
}

// unrestricted says that nothing is denied: a rule allows everything, and none after
// it denies anything.
func unrestricted(rules []devicefilter.Rule) bool {
	for _, r := range slices.Backward(rules) {
		switch {
		case !r.Allow:
			return false
		case r.Everything():
			return true
		}
	}
	return false
}
