// Command unique prints what no two machines may have in common, one line each, and
// waits for the end of its input. It does not judge: who runs it compares.
package main

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
)

func main() {
	fmt.Printf("random %x\n", random())
	fmt.Printf("hello %x\n", hello())
	for _, name := range []string{"uuid", "boot_id", "entropy_avail"} {
		b, err := os.ReadFile("/proc/sys/kernel/random/" + name)
		check(err)
		fmt.Println(name, strings.TrimSpace(string(b)))
	}
	host, err := os.Hostname()
	check(err)
	fmt.Println("hostname", host)
	fmt.Println("end")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func random() []byte {
	b := make([]byte, 32)
	_, err := rand.Read(b)
	check(err)
	return b
}

// hello is the random of a TLS client's first message (RFC 8446, 4.1.2): after the
// record's header, the message's and the version.
func hello() []byte {
	client, server := net.Pipe()
	go func() {
		_ = tls.Client(client, &tls.Config{ServerName: "server"}).Handshake() // nobody answers
		client.Close()
	}()
	b := make([]byte, 5+4+2+32)
	_, err := io.ReadFull(server, b)
	check(err)
	server.Close()
	return b[5+4+2:]
}

func check(err error) {
	if err != nil && !errors.Is(err, io.EOF) {
		fmt.Println("error", err)
		os.Exit(1)
	}
}
