package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kata/agent/api"
)

// How the kernel is waited for, which learns of a new processor some time after it is
// there.
const (
	processorTime = 10 * time.Second
	processorPoll = 5 * time.Millisecond
)

// processors switches on what processors the machine has got, until as many run as
// the host says.
func (a *agent) processors(req *api.ProcessorsRequest) (*api.Empty, error) {
	<-a.ready
	if a.bootErr != nil {
		return nil, a.bootErr
	}
	for begin := time.Now(); ; time.Sleep(processorPoll) {
		running, err := switchOn("/sys/devices/system/cpu")
		switch {
		case err != nil:
			return nil, fmt.Errorf("switch a processor on: %w", err)
		case running >= int(req.Count):
			return &api.Empty{}, nil
		case time.Since(begin) > processorTime:
			return nil, fmt.Errorf("%d processors of the machine run, the host says that it has %d", running, req.Count)
		}
	}
}

// switchOn has all processors run that the kernel knows, and counts them.
func switchOn(dir string) (running int, err error) {
	list, err := filepath.Glob(dir + "/cpu[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, cpu := range list {
		// The first cannot be switched off, and has no such file.
		state, err := os.ReadFile(cpu + "/online")
		if err == nil && strings.TrimSpace(string(state)) == "0" {
			err = os.WriteFile(cpu+"/online", []byte("1"), 0)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return running, err
		}
		running++
	}
	return running, nil
}
