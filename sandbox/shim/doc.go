// Package shim stands on the host for one process in a sandbox: it carries the
// process' standard I/O, terminal size and signals, and learns its exit status.
// Engines wait for it as they would for the process itself.
//
// It lives in kata-shim, and inside the commands that stay in the foreground. It
// asks the sandbox's proxy for everything, does not know
// machines, and keeps no state.
package shim
