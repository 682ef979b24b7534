// Package channel carries many flow-controlled byte streams over the one
// reliable byte stream that connects a host and the agent of a machine.
//
// Wire format. Each side first sends a preface: the bytes "KATA" and the
// protocol version, a big-endian uint16. Frames follow, each with an 8-byte
// header: stream id (uint32), type (uint8), one reserved zero byte, payload
// length (uint16), all big-endian. The opener of a stream picks its id: odd ids
// belong to the host, even ones to the agent.
//
// Every stream opens with a Header that says what it is for. A sender may have
// at most Window bytes of a stream unread at the receiver; the receiver gives
// credit back as its reader consumes. So a stalled stream never stalls the
// others, and a hostile peer can pin at most MaxStreams × Window bytes.
//
// The package knows nothing of what the streams mean, does not retry, and does
// not encrypt: the byte stream below is private to one machine.
package channel
