package shim

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"kata/sandbox/proxy"
)

// ForwardSignals passes signals that this process gets on to the one it stands
// for, and the size of the console when it changes. It does so from the call on,
// for the life of this process.
func (s *Shim) ForwardSignals() {
	ch := make(chan os.Signal, 64)
	signal.Notify(ch)
	go func() {
		for sig := range ch {
			switch sig {
			case unix.SIGCHLD, unix.SIGPIPE, unix.SIGURG: // this process' own
			case unix.SIGWINCH:
				s.Resize()
			default:
				// A process that has just ended takes no signal: nothing to tell.
				_, _ = proxy.Call(s.o.Dir, &proxy.Request{Op: proxy.Signal, Exec: s.o.Exec, Signal: int(sig.(syscall.Signal))})
			}
		}
	}()
}

// Resize gives the process' terminal the size of the console.
func (s *Shim) Resize() {
	if s.o.Console == nil {
		return
	}
	ws, err := unix.IoctlGetWinsize(int(s.o.Console.Fd()), unix.TIOCGWINSZ)
	if err != nil || ws.Row == 0 {
		return
	}
	_, _ = proxy.Call(s.o.Dir, &proxy.Request{Op: proxy.Resize, Exec: s.o.Exec, Rows: uint32(ws.Row), Columns: uint32(ws.Col)})
}
