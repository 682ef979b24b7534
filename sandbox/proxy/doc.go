// Package proxy is the process that owns one sandbox made through the OCI command
// line: it boots the sandbox, answers the commands on a unix socket in the state
// directory of each container, carries standard I/O, and ends when the containers
// have ended.
//
// The protocol is one JSON line each way on a connection of its own for every
// request; a stdio request turns its connection into the byte stream. Only root
// can reach the socket (the directory is 0700). The package keeps no files and
// prints nothing.
package proxy
