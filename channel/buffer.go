package channel

// buffer is a queue of bytes that keeps its memory for what comes next: a stream
// that is busy makes no garbage, which in a guest is dear to collect. A quiet one
// keeps no more than keepBytes.
type buffer struct {
	data  []byte
	start int // where the unread bytes begin
}

func (b *buffer) len() int { return len(b.data) - b.start }

func (b *buffer) write(p []byte) {
	if b.start > 0 && len(b.data)+len(p) > cap(b.data) {
		n := copy(b.data, b.data[b.start:])
		b.data, b.start = b.data[:n], 0
	}
	b.data = append(b.data, p...)
}

func (b *buffer) read(p []byte) int {
	n := copy(p, b.data[b.start:])
	b.start += n
	if b.start == len(b.data) {
		b.data, b.start = b.data[:0], 0
	}
	return n
}
