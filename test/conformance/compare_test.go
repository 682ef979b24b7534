package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

const peerTAP = `TAP version 13
ok 1 - has /tmp/x/ocitest123
ok 2 - twice
ok 3 - twice
ok 4 - container 2a2f64e7-b931-451b-967b-ca64ef19add6
not ok 5 - neither
1..5
`

func TestCompare(t *testing.T) {
	peer := readTAP(peerTAP, "/tmp/x")
	own := readTAP("ok 1 - has /tmp/y/ocitest9\nok 2 - twice\nnot ok 3 - twice\nok 4 - container 00000000-b931-451b-967b-ca64ef19add6\n", "/tmp/y")
	peer.add(true, exitLine)
	own.add(false, exitLine)
	c := compare("p", peer, own, []exception{{"the program *", "why"}, {"never said", "why"}, {"has *", "why"}})
	if want := []string{"twice"}; !slices.Equal(c.worse, want) {
		t.Errorf("worse: %q, want %q", c.worse, want)
	}
	if want := []string{exitLine + ": why"}; !slices.Equal(c.excepted, want) {
		t.Errorf("excepted: %q, want %q", c.excepted, want)
	}
	if want := []string{"has *"}; !slices.Equal(c.unneeded, want) {
		t.Errorf("unneeded: %q, want %q", c.unneeded, want)
	}
}

func TestExceptions(t *testing.T) {
	all, err := readExceptions(exceptionsFile)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	for program, list := range all {
		for _, e := range list {
			if !strings.Contains(string(doc), "| "+program+" | ") || !strings.Contains(string(doc), e.line) || !strings.Contains(string(doc), e.reason) {
				t.Errorf("docs/conformance.md lacks %s: %s: %s", program, e.line, e.reason)
			}
		}
	}
	for _, bad := range []string{"program", "program | line", "program | [ | reason"} {
		if _, err := readExceptions(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
