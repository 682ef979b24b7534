// Command mkimage packs a directory as an OCI image archive, for demos and
// tests. It is not a way to build images: the image has one layer and starts a
// shell.
package main

import (
	"fmt"
	"os"

	"kata/image"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: mkimage ROOTFS OUT.tar")
		os.Exit(2)
	}
	if err := pack(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

func pack(rootfs, out string) error {
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer f.Close()
	err = image.WriteOCIArchive(f, rootfs, image.Config{
		Cmd: []string{"sh"},
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
	})
	if err != nil {
		return err
	}
	return f.Close()
}
