package yagura

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Config decodes the rule's `[rule.config]` into what `into` points to, by the rules of encoding/json. Keys that are
// absent leave what is there, so that it holds the defaults beforehand; a key that a struct does not have is a failure that
// names it. See [Rule] on failures.
//
//	settings := struct {
//		Window int64 `json:"window"`
//	}{Window: 60}
//	rule.Config(&settings)
func (r *Rule) Config(into any) {
	r.decode("rule.config", r.rule.Config, into)
}

// PluginConfig decodes the pack's `[plugin.config]`, which all rules of the plugin share, as [Rule.Config] does.
func (r *Rule) PluginConfig(into any) {
	r.decode("plugin.config", r.pluginConfig, into)
}

func (r *Rule) decode(table, text string, into any) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		return
	}
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		if wrongType.Field != "" {
			table += "." + wrongType.Field
		}
		r.fail(fmt.Sprintf("`%s` is a JSON %s where %s is wanted", table, wrongType.Value, wrongType.Type))
		return
	}
	// The library has no type for this error, and says no more than the key.
	if key, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
		message := fmt.Sprintf("`%s` has the key `%s`, which the detector does not know", table, strings.Trim(key, `"`))
		if known := keys(reflect.TypeOf(into)); len(known) > 0 {
			message += ": it knows " + strings.Join(known, ", ")
		}
		r.fail(message)
		return
	}
	r.fail(fmt.Sprintf("`%s` cannot be read: %v", table, err))
}

// keys returns the names under which a struct's fields are configured, in backquotes.
func keys(target reflect.Type) []string {
	for target != nil && target.Kind() == reflect.Pointer {
		target = target.Elem()
	}
	if target == nil || target.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for _, field := range reflect.VisibleFields(target) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !field.IsExported() || field.Anonymous || name == "-" {
			continue
		}
		if name == "" {
			name = field.Name
		}
		names = append(names, "`"+name+"`")
	}
	return names
}
