// Package sandbox is one pod on the host: a machine, the channel to its agent, and
// the containers in it. Everything that starts, stops or asks a container, from
// whichever command, ends here.
//
// The package does not know OCI bundles (package compile reads them), keeps no
// files of its state (package state does), and asks no driver for its name.
package sandbox
