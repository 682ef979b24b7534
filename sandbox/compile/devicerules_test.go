package compile

import (
	"errors"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"kata/agent/devicefilter"
	"kata/oci"
)

func TestDeviceRules(t *testing.T) {
	rule := func(allow bool, kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Major: &major, Minor: &minor, Access: access}
	}
	none := specs.LinuxDeviceCgroup{Access: "rwm"}
	all := specs.LinuxDeviceCgroup{Allow: true, Access: "rwm"}
	got, err := deviceRules([]specs.LinuxDeviceCgroup{none, rule(true, "c", 10, -1, "r"), rule(false, "a", 7, 0, "rw"), all})
	want := append([]devicefilter.Rule{
		{Kind: 0, Major: -1, Minor: -1, Access: devicefilter.All, Allow: false}, {Kind: devicefilter.Char, Major: 10, Minor: -1, Access: devicefilter.Read, Allow: true},
		{Kind: 0, Major: 7, Minor: 0, Access: devicefilter.Read | devicefilter.Write, Allow: false}, {Kind: 0, Major: -1, Minor: -1, Access: devicefilter.All, Allow: true},
	}, devicefilter.Defaults...)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, tc := range []struct {
		rules []specs.LinuxDeviceCgroup
		want  bool
	}{{nil, false}, {[]specs.LinuxDeviceCgroup{all}, true}, {[]specs.LinuxDeviceCgroup{all, none}, false}, {[]specs.LinuxDeviceCgroup{none, all}, true}} {
		if r, err := CompileResources(&specs.LinuxResources{Devices: tc.rules}, nil); err != nil || r.Unrestricted != tc.want {
			t.Errorf("%v: unrestricted %v, %v", tc.rules, r.Unrestricted, err)
		}
	}
	for want, r := range map[string]specs.LinuxDeviceCgroup{
		"linux.resources.devices[0].major": rule(true, "c", -2, 0, "r"),
		"linux.resources.devices[0].minor": rule(true, "c", 0, 1<<32, "r"),
	} {
		_, err := CompileResources(&specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{r}}, nil)
		if e, ok := errors.AsType[*oci.ConfigError](err); !ok || e.Field != want {
			t.Errorf("%v, want a ConfigError of %s", err, want)
		}
	}
}
