package yagura

import "github.com/yagura/yagura/sdk/go/internal/settings"

// Config decodes the rule's `[rule.config]` into what `into` points to, by the rules of encoding/json. Absent keys
// leave the values of `into`, so these are the defaults. A key that a struct does not have is a failure that names it. See [Rule]
// on failures.
//
//	settings := struct {
//		Window int64 `json:"window"`
//	}{Window: 60}
//	rule.Config(&settings)
func (r *Rule) Config(into any) {
	r.decode("rule.config", r.rule.Config, into)
}

// PluginConfig decodes the pack's `[plugin.config]`, which all rules of the plugin share; see [Rule.Config].
func (r *Rule) PluginConfig(into any) {
	r.decode("plugin.config", r.pluginConfig, into)
}

func (r *Rule) decode(table, text string, into any) {
	if message := settings.Decode(table, text, into); message != "" {
		r.fail(message)
	}
}
