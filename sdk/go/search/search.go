// Package search finds events by observable and time, for enrichers. It searches tables that the manifest requests
// (`[plugin.request]`) and the operator grants. The host limits rows and time.
//
//	found, err := search.Table("dhcp").
//		Observable(plugin.IP, address).
//		Around(alert, 24*search.Hour, 0).
//		Columns("event_time", "hostname").
//		Limit(1).
//		Find()
//	if err != nil {
//		return err
//	}
//	for row := range found.Rows() {
//		enriched.Attribute("hostname", row.Text("hostname"), "dhcp")
//	}
package search

import (
	"fmt"

	"github.com/yagura/yagura/sdk/go/internal/author"
	"github.com/yagura/yagura/sdk/go/internal/searching"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// Durations in microseconds, the unit of all times.
const (
	Second int64 = 1_000_000
	Minute       = 60 * Second
	Hour         = 60 * Minute
	Day          = 24 * Hour
)

// Query is a search under construction; its methods change it and return it.
type Query struct{ query searching.Query }

// Table starts a search in a table. By default it finds 100 events of all time.
func Table(name string) *Query {
	return &Query{searching.Query{Table: name, From: -1 << 63, To: 1<<63 - 1, Limit: 100}}
}

// Observable sets the value that the events must have, in a column of its kind.
func (q *Query) Observable(kind plugin.Kind, value string) *Query {
	q.query.Kind, q.query.Value = string(kind), value
	return q
}

// Between limits the events' time, in microseconds since 1970-01-01T00:00:00Z.
func (q *Query) Between(from, to int64) *Query {
	q.query.From, q.query.To = from, to
	return q
}

// Around limits the events' time to that of an alert: from some microseconds before its first event to some after its last.
func (q *Query) Around(alert *plugin.Alert, before, after int64) *Query {
	return q.Between(alert.FirstTime-before, alert.LastTime+after)
}

// Columns sets the columns that are read, dotted paths included.
func (q *Query) Columns(names ...string) *Query {
	q.query.Columns = names
	return q
}

// Limit limits the number of events.
func (q *Query) Limit(rows uint32) *Query {
	q.query.Limit = rows
	return q
}

// Find runs the search. The error is a missing table, column or grant, with the line that would grant it; or the search took too
// long.
func (q *Query) Find() (*Result, error) {
	events, failure := searching.Find(&q.query)
	if failure != nil {
		return nil, author.FromContract(failure)
	}
	if len(events.Schema) != len(events.Batch.Columns) {
		return nil, plugin.DataError(fmt.Sprintf(
			"a search in `%s` answered %d columns of %d names", q.query.Table, len(events.Batch.Columns), len(events.Schema)))
	}
	return &Result{events}, nil
}
