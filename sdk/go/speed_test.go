package yagura_test

import (
	"fmt"
	"testing"

	yagura "github.com/yagura/yagura/sdk/go"
	"github.com/yagura/yagura/sdk/go/yaguratest"
)

const rows = 8192

// reader reads every value of a few columns, row by row or by views, and finds nothing.
type reader struct {
	name, agent yagura.TextColumn
	at          yagura.TimeColumn
	readOnly    yagura.BooleanColumn
	byView      bool
}

func init() {
	for id, byView := range map[string]bool{"reads-rows": false, "reads-views": true} {
		yagura.Detect(id, func(rule *yagura.Rule) (yagura.Detector, error) {
			return &reader{
				name: rule.Text("name"), agent: rule.Text("agent"), at: rule.Time("at"), readOnly: rule.Boolean("read_only"),
				byView: byView,
			}, nil
		})
	}
}

func (r *reader) OnBatch(batch *yagura.Batch, findings *yagura.Findings) error {
	if r.byView {
		names, agents, times, readOnly := r.name.In(batch), r.agent.In(batch), r.at.In(batch).Values(), r.readOnly.In(batch)
		for row, time := range times {
			name, _ := names.At(row)
			agent, _ := agents.At(row)
			value, _ := readOnly.At(row)
			if time < 0 && value && name == agent {
				findings.Row(batch.Row(row))
			}
		}
		return nil
	}
	for row := range batch.Rows() {
		name, _ := r.name.Get(row)
		agent, _ := r.agent.Get(row)
		time, _ := r.at.Get(row)
		value, _ := r.readOnly.Get(row)
		if time < 0 && value && name == agent {
			findings.Row(row)
		}
	}
	return nil
}

func manyEvents(rows int, name string) *yaguratest.Events {
	names, agents, times, readOnly := make([]any, rows), make([]any, rows), make([]any, rows), make([]any, rows)
	for row := range rows {
		names[row] = fmt.Sprintf("%s-%d", name, row)
		if row%7 != 0 {
			agents[row] = "櫓"
		}
		times[row] = row
		readOnly[row] = row%2 == 0
	}
	return yaguratest.NewEvents().Text("name", names...).Text("agent", agents...).Time("at", times...).
		Boolean("read_only", readOnly...)
}

func open(t testing.TB, id string, events *yaguratest.Events) func() {
	t.Helper()
	session, err := yaguratest.Open(yaguratest.Rule{ID: id}, events)
	if err != nil {
		t.Fatal(err)
	}
	evaluate := session.Prepare(events)
	return func() {
		if found, err := evaluate(); err != nil || found != 0 {
			t.Fatalf("%d findings, %v", found, err)
		}
	}
}

func TestRowsWithoutFindingsCostNoMemory(t *testing.T) {
	for _, id := range []string{"reads-rows", "reads-views"} {
		few := testing.AllocsPerRun(20, open(t, id, manyEvents(8, "user")))
		many := testing.AllocsPerRun(20, open(t, id, manyEvents(rows, "user")))
		if many > few {
			t.Errorf("%s: %v pieces of memory for %d rows, %v for 8", id, many, rows, few)
		}
		t.Logf("%s: %v pieces of memory a batch", id, many)
	}
}

func BenchmarkOnBatch(b *testing.B) {
	for _, id := range []string{"reads-rows", "reads-views"} {
		evaluate := open(b, id, manyEvents(rows, "user"))
		b.Run(id, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				evaluate()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
		})
	}
}
