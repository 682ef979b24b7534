package oci

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

func (e *ConfigError) Error() string {
	if e.Field == "" {
		return e.Reason
	}
	return e.Field + ": " + e.Reason
}

// Unwrap returns the error underneath, or nil.
func (e *ConfigError) Unwrap() error { return e.Err }
