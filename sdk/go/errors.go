package yagura

import "github.com/yagura/yagura/sdk/go/plugin"

// ConfigError says that the configuration or the rules are wrong; the plugin is not opened.
type ConfigError = plugin.ConfigError

// DataError says that these events cannot be evaluated; they are skipped and reported.
type DataError = plugin.DataError

// RetryError says that one more try with the same input is worth it.
type RetryError = plugin.RetryError
