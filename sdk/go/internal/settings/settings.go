// Package settings decodes what a pack or an operator configures, and says what is wrong with it.
package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Decode decodes JSON text into what `into` points to and returns what is wrong with it, empty for nothing. `table` is the
// configuration's name in messages.
func Decode(table, text string, into any) string {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		return ""
	}
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		if wrongType.Field != "" {
			table += "." + wrongType.Field
		}
		return fmt.Sprintf("`%s` is a JSON %s where %s is wanted", table, wrongType.Value, wrongType.Type)
	}
	// The library has no type for this error, and says no more than the key.
	if key, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
		message := fmt.Sprintf("`%s` has the key `%s`, which the plugin does not know", table, strings.Trim(key, `"`))
		if known := keys(reflect.TypeOf(into)); len(known) > 0 {
			message += ": it knows " + strings.Join(known, ", ")
		}
		return message
	}
	return fmt.Sprintf("`%s` cannot be read: %v", table, err)
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
