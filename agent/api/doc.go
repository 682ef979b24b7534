// Package api is the protocol between the host and the agent of a machine: the
// messages (agent.proto is their definition), a codec for them, and a client
// and a server that speak ttrpc over one stream of the channel.
//
// The wire is ttrpc's and protobuf's, so any ttrpc client works; a test proves
// it with containerd's. The code is the project's own because the agent is: with
// the ttrpc and protobuf libraries the agent answered 9 to 12 ms later after the
// start of a user-mode kernel and was 2 MB larger (docs/performance.md).
//
// The package does not know containers or the OCI specification; the host
// compiles a container's configuration into these messages.
package api
