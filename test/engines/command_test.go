package engines

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"kata/test/terminal"
)

// patience is how long one command may take. It is no performance goal.
const patience = terminal.Patience

// complete runs a command and returns its output and exit code.
func complete(t *testing.T, cmd *exec.Cmd) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	env := cmd.Env
	cmd = exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...)
	cmd.Env, cmd.WaitDelay = env, time.Second
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// awaitSize prints RESIZED once the terminal has the size.
const awaitSize = `while [ "$(stty size)" != "40 100" ]; do sleep 0.1; done; echo "RE"SIZED`

// A person uses an engine at a terminal.
type person struct {
	*terminal.Terminal
	t     *testing.T
	ended chan int
}

// sit starts a command at a new terminal.
func sit(t *testing.T, cmd *exec.Cmd) person {
	t.Helper()
	term, tty := terminal.Open(t)
	terminal.Attach(cmd, tty)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := person{term, t, make(chan int, 1)}
	go func() {
		_ = cmd.Wait()
		p.ended <- cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return p
}

// do types a command line and waits for what has not been on the screen before.
func (p person) do(line, want string) {
	p.t.Helper()
	p.Type(p.t, line+"\r")
	p.Expect(p.t, want)
}

// leave types what ends the session, and checks its exit code.
func (p person) leave(keys string, code int) {
	p.t.Helper()
	p.Type(p.t, keys)
	select {
	case got := <-p.ended:
		if got != code {
			p.t.Errorf("exit code %d, want %d; the terminal shows %q", got, code, p)
		}
	case <-time.After(patience):
		p.t.Fatalf("the session does not end; the terminal shows %q", p)
	}
}
