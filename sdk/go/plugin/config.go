package plugin

import "github.com/yagura/yagura/sdk/go/internal/settings"

// Config is the configuration of an enricher, a reviewer or a notifier: the pack's `[plugin.config]` under the operator's.
//
// The first failure is remembered, and the plugin is not opened: no check is needed in between. Code that goes on to
// compute with a setting asks [Config.Err] first.
type Config struct {
	text    string
	failure error
}

// NewConfig returns a configuration from JSON text; empty text is an empty one. The host makes it for a plugin; a unit test
// may, too.
func NewConfig(text string) *Config {
	if text == "" {
		text = "{}"
	}
	return &Config{text: text}
}

// Decode decodes the configuration into what `into` points to, by the rules of encoding/json. Keys that are absent leave
// what is there, so that it holds the defaults beforehand; a key that a struct does not have is a failure that names it.
//
//	settings := struct {
//		Server string `json:"server"`
//		Most   int    `json:"most"`
//	}{Most: 5}
//	config.Decode(&settings)
func (c *Config) Decode(into any) {
	if message := settings.Decode("plugin.config", c.text, into); message != "" {
		c.Fail(message)
	}
}

// Fail says that a setting is wrong, in a message that names it.
func (c *Config) Fail(message string) {
	if c.failure == nil {
		c.failure = ConfigError(message)
	}
}

// Err returns the first failure so far, a [ConfigError]; nil when there was none.
func (c *Config) Err() error {
	return c.failure
}
