package proxy

import (
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestMerge(t *testing.T) {
	was := &specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: new(int64(100)), Swap: new(int64(200)), Reservation: new(int64(5))},
		CPU:     &specs.LinuxCPU{Quota: new(int64(5000)), Period: new(uint64(10000)), Idle: new(int64(1)), Cpus: "0"},
		Pids:    &specs.LinuxPids{Limit: new(int64(7))},
		Unified: map[string]string{"a.b": "1", "c.d": "2"},
	}
	got := merge(was, &specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: new(int64(300)), Reservation: new(int64(0))},
		CPU:     &specs.LinuxCPU{Quota: new(int64(-1)), Idle: new(int64(0)), Shares: new(uint64(9))},
		Unified: map[string]string{"c.d": "3"},
	})
	want := &specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: new(int64(300)), Reservation: new(int64(5))},
		CPU:     &specs.LinuxCPU{Quota: new(int64(-1)), Period: new(uint64(10000)), Idle: new(int64(0)), Shares: new(uint64(9)), Cpus: "0"},
		Pids:    &specs.LinuxPids{Limit: new(int64(7))},
		Unified: map[string]string{"a.b": "1", "c.d": "3"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if *was.Memory.Limit != 100 || was.Unified["c.d"] != "2" {
		t.Error("what was has changed")
	}
	if got := merge(nil, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: new(int64(1))}}); *got.Pids.Limit != 1 {
		t.Errorf("over nothing: %+v", got)
	}
}
