// Package cli is the command lines: the OCI runtime's (kata-runtime, as runc has
// it) and the one for people (kata). It parses, calls, and prints; what happens to
// a container is decided in package sandbox and below. It does not know
// any driver.
package cli
