package yaguratest

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/internal/looking"
	"github.com/yagura/yagura/sdk/go/internal/searching"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// Lookups are lookup tables: rows by key, by name of the table.
type Lookups map[string]map[string]any

// NewLookups gives a test lookup tables until its end. Rows are values that encoding/json can encode. A missing table is
// an error, as with a host. Tests with lookup tables do not run in parallel.
func NewLookups(t testing.TB, tables Lookups) {
	earlier := looking.Answering
	t.Cleanup(func() { looking.Answering = earlier })
	looking.Answering = func(table, key string) (string, bool, *abi.Error) {
		rows, known := tables[table]
		if !known {
			return "", false, &abi.Error{Kind: abi.Config, Message: fmt.Sprintf("there is no lookup table `%s`", table)}
		}
		row, found := rows[key]
		if !found {
			return "", false, nil
		}
		text, err := json.Marshal(row)
		if err != nil {
			t.Fatalf("the row `%s` of the lookup table `%s` is no JSON: %v", key, table, err)
		}
		return string(text), true, nil
	}
}

// Tables answers searches in a test; see [NewTables].
type Tables struct {
	queries []Query
	events  map[string]*Events
}

// Query is a search of a plugin.
type Query struct {
	Table      string
	Observable plugin.Observable
	// From and To are in microseconds since 1970-01-01T00:00:00Z.
	From, To int64
	Columns  []string
	Limit    uint32
}

// NewTables gives a test tables to search until its end. A search finds all events of its table, up to its limit: check
// in [Tables.Queries] whether it searched for the right ones. A missing table or column is an error, as with a host. Tests with
// tables do not run in parallel.
func NewTables(t testing.TB, tables map[string]*Events) *Tables {
	made := &Tables{events: tables}
	earlier := searching.Answering
	t.Cleanup(func() { searching.Answering = earlier })
	searching.Answering = made.answer
	return made
}

// Queries returns the searches so far, in order.
func (t *Tables) Queries() []Query {
	return t.queries
}

func (t *Tables) answer(query *searching.Query) (*searching.Events, *abi.Error) {
	t.queries = append(t.queries, Query{
		Table: query.Table, Observable: plugin.Observable{Kind: plugin.Kind(query.Kind), Value: query.Value},
		From: query.From, To: query.To, Columns: query.Columns, Limit: query.Limit,
	})
	events, known := t.events[query.Table]
	if !known {
		return nil, &abi.Error{Kind: abi.Config, Message: fmt.Sprintf("there is no table `%s` to search", query.Table)}
	}
	rows := min(events.Len(), int(query.Limit))
	kept := events.Slice(0, rows).batch()
	found := &searching.Events{Batch: abi.Batch{Rows: kept.Rows}, Truncated: rows < events.Len()}
	for _, name := range query.Columns {
		place := slices.IndexFunc(events.fields, func(field abi.Field) bool { return field.Name == name })
		if place < 0 {
			message := fmt.Sprintf("the table `%s` has no column `%s`", query.Table, name)
			return nil, &abi.Error{Kind: abi.Config, Message: message}
		}
		found.Schema = append(found.Schema, events.fields[place])
		found.Batch.Columns = append(found.Batch.Columns, kept.Columns[place])
	}
	return found, nil
}
