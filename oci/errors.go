package oci

import (
	"strconv"
	"strings"
	"unicode"
)

// ConfigError says which field of a configuration is wrong and why.
type ConfigError struct {
	// Field is the JSON path of the field, such as "process.rlimits[0].type".
	// It is empty if the document as a whole is malformed.
	Field string
	// Reason is one line without the field's name.
	Reason string
	// Err is the error underneath, if there is one.
	Err error
}

// Error is one line without control characters, whatever paths the configuration has.
func (e *ConfigError) Error() string {
	if e.Field == "" {
		return printable(e.Reason)
	}
	return printable(e.Field + ": " + e.Reason)
}

func printable(s string) string {
	if !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsControl(r) {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Unwrap returns the error underneath, or nil.
func (e *ConfigError) Unwrap() error { return e.Err }
