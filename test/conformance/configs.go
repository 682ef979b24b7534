package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"kata/test/configs"
)

// configsProgram is the one program that is ours: it tries the table of package
// configs with the runtime.
const configsProgram = "configurations"

// tryConfigs is that program. Like the others it runs in the directory of the programs,
// finds the runtime in $RUNTIME, and speaks TAP.
func tryConfigs() error {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return err
	}
	rootfs := filepath.Join(dir, "rootfs")
	if err := os.Mkdir(rootfs, 0o755); err != nil {
		return err
	}
	if out, err := exec.Command("tar", "-xzf", "rootfs-amd64.tar.gz", "-C", rootfs).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	all := configs.All()
	fmt.Printf("TAP version 13\n1..%d\n", len(all))
	for i, c := range all {
		raw, err := c.JSON()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "config.json"), raw, 0o600); err != nil {
			return err
		}
		works := runConfig(dir, fmt.Sprintf("configuration-%d", i+1)) == nil
		verdict, wanted := "not ok", "refuses"
		if c.Error == "" {
			wanted = "accepts"
		}
		if works == (c.Error == "") {
			verdict = "ok"
		}
		fmt.Printf("%s %d - %s %s\n", verdict, i+1, wanted, c.Patch)
	}
	return nil
}

// runConfig runs a container that ends at once.
func runConfig(bundle, id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Getenv("RUNTIME"), "run", "--bundle", bundle, id)
	cmd.Stderr = os.Stderr
	return cmd.Run()
}
