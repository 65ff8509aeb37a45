package yagura

import (
	"fmt"
	"strings"

	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/internal/detection"
)

// Rule is the rule that a detector is opened for: its id, its configuration and its columns.
//
// Columns have the names that the rule lists, dotted paths included. A path into JSON text
// (`request_parameters.policyDocument`) is a text column: strings without quotes, other values as JSON text.
//
// A lookup fails if the rule does not list the column, the column has another type, or the configuration does not fit. It then
// returns the zero value. The rule stores the first failure, and the plugin is not opened. So a detector needs no checks between
// lookups; it calls [Rule.Err] before it computes with a value.
type Rule struct {
	rule         *detection.Rule
	pluginConfig string
	failure      error
}

// ID returns the rule's id.
func (r *Rule) ID() string {
	return r.rule.ID
}

// Err returns the first failure of the lookups so far, a [ConfigError]; nil if there was none.
func (r *Rule) Err() error {
	return r.failure
}

// Columns returns the names of the rule's columns, in order.
func (r *Rule) Columns() []string {
	names := make([]string, 0, len(r.rule.Schema))
	for _, field := range r.rule.Schema {
		names = append(names, field.Name)
	}
	return names
}

// Text returns the handle of a text column.
func (r *Rule) Text(name string) TextColumn {
	return TextColumn{r.find(name, abi.UTF8)}
}

// Int64 returns the handle of a column of whole numbers.
func (r *Rule) Int64(name string) Int64Column {
	return Int64Column{r.find(name, abi.Int64)}
}

// Float64 returns the handle of a column of floating-point numbers.
func (r *Rule) Float64(name string) Float64Column {
	return Float64Column{r.find(name, abi.Float64)}
}

// Boolean returns the handle of a column of truth values.
func (r *Rule) Boolean(name string) BooleanColumn {
	return BooleanColumn{r.find(name, abi.Boolean)}
}

// Time returns the handle of a column of times.
func (r *Rule) Time(name string) TimeColumn {
	return TimeColumn{r.find(name, abi.Timestamp)}
}

// Binary returns the handle of a column of bytes.
func (r *Rule) Binary(name string) BinaryColumn {
	return BinaryColumn{r.find(name, abi.Binary)}
}

// find returns the number of a column in the schema, from one; zero if it fails.
func (r *Rule) find(name string, wanted abi.DataType) int {
	known := make([]string, 0, len(r.rule.Schema))
	for index, field := range r.rule.Schema {
		if field.Name != name {
			known = append(known, "`"+field.Name+"`")
			continue
		}
		if field.DataType != wanted {
			r.fail(fmt.Sprintf("column `%s` is of type %s where the detector reads %s", name, field.DataType, wanted))
			return 0
		}
		return index + 1
	}
	r.fail(fmt.Sprintf("the rule hands over no column `%s`: add it to the rule's `columns`, which are %s",
		name, strings.Join(known, ", ")))
	return 0
}

func (r *Rule) fail(message string) {
	if r.failure == nil {
		r.failure = ConfigError(message)
	}
}
