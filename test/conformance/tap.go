package main

import (
	"regexp"
	"strings"
	"time"
)

// exitLine is the verdict on a program's exit code, which its TAP lines lack.
const exitLine = "the program exits with 0"

// verdicts of one program with one runtime: how often each line passed and failed.
// Some programs say the same line for each of many cases.
type verdicts struct {
	passed, failed map[string]int
	took           time.Duration
}

func (v verdicts) add(ok bool, line string) {
	if ok {
		v.passed[line]++
	} else {
		v.failed[line]++
	}
}

func total(m map[string]int) (n int) {
	for line, k := range m {
		if line != exitLine {
			n += k
		}
	}
	return n
}

var (
	tapLine = regexp.MustCompile(`^(not )?ok [0-9]+(?: - )?(.*)$`)
	// What a line says of one run only: names of containers, files and processes.
	uuid   = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	random = regexp.MustCompile(`TMP/[A-Za-z_-]*[0-9]+`)
)

// readTAP reads the lines of TAP 13. Their explanations in YAML are for people.
// tmp is the directory of the program's temporary files.
func readTAP(text, tmp string) verdicts {
	v := verdicts{passed: map[string]int{}, failed: map[string]int{}}
	for line := range strings.Lines(text) {
		m := tapLine.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if m == nil {
			continue
		}
		said := strings.ReplaceAll(m[2], tmp, "TMP")
		said = random.ReplaceAllString(uuid.ReplaceAllString(said, "UUID"), "TMP/*")
		v.add(m[1] == "", said)
	}
	return v
}
