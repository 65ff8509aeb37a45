package plugin

// ConfigError says that the configuration or the rules are wrong; the plugin is not opened.
type ConfigError string

// DataError says that this input cannot be worked on: events are skipped, an alert stays as it was, a report is given up.
// Each is told to the operator.
type DataError string

// RetryError says that one more try with the same input is worth it.
type RetryError string

// Error returns the message.
func (e ConfigError) Error() string { return string(e) }

// Error returns the message.
func (e DataError) Error() string { return string(e) }

// Error returns the message.
func (e RetryError) Error() string { return string(e) }
