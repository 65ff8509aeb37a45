package yagura

import (
	"fmt"
	"iter"

	"github.com/yagura/yagura/sdk/go/internal/abi"
)

// Batch is events in columns: the rows that match the rule's `where`, with the columns that the rule lists.
//
// Values are decoded only when you read them. A batch and its rows are valid during their call. Values read from them stay
// valid for as long as you keep them.
type Batch struct {
	rows    int
	columns []column
}

// newBatch takes the batch of the host, and checks that every column has enough bytes for the number of rows. An error means
// that host and plugin use different contracts.
func newBatch(schema []abi.Field, raw *abi.Batch) (*Batch, error) {
	if len(raw.Columns) != len(schema) {
		return nil, DataError(fmt.Sprintf(
			"a batch has %d columns where the rule's schema has %d", len(raw.Columns), len(schema)))
	}
	batch := &Batch{rows: int(raw.Rows), columns: make([]column, len(raw.Columns))}
	for index := range raw.Columns {
		if err := check(&schema[index], &raw.Columns[index], batch.rows); err != nil {
			return nil, err
		}
		batch.columns[index].fill(&raw.Columns[index], batch.rows)
	}
	return batch, nil
}

// Len returns the number of rows.
func (b *Batch) Len() int {
	return b.rows
}

// State returns the state of the partition key of these rows, for a rule with `partition_by`.
func (b *Batch) State() State {
	return State{}
}

// Rows returns the rows in order. A row decodes a value only when you read it.
func (b *Batch) Rows() iter.Seq[Row] {
	return func(yield func(Row) bool) {
		for index := range b.rows {
			if !yield(Row{batch: b, index: index}) {
				return
			}
		}
	}
}

// Row returns the row at `index`, from zero. It panics if the batch has no such row.
func (b *Batch) Row(index int) Row {
	if uint(index) >= uint(b.rows) {
		panic(fmt.Sprintf("yagura: row %d of a batch of %d rows", index, b.rows))
	}
	return Row{batch: b, index: index}
}

// column returns the column that a handle names.
func (b *Batch) column(place int) *column {
	if uint(place-1) >= uint(len(b.columns)) {
		panicAtColumn(place)
	}
	return &b.columns[place-1]
}

// panicAtColumn is a function of its own, so that its callers stay small.
func panicAtColumn(place int) {
	if place == 0 {
		panic("yagura: a column is read that was never looked up: set it by Rule.Text or its kin when the detector is opened")
	}
	panic("yagura: a column is read that another rule looked up")
}

// Row is one event of a batch.
type Row struct {
	batch *Batch
	index int
}

// Index returns the row's index in its batch, from zero.
func (r Row) Index() int {
	return r.index
}

func check(field *abi.Field, column *abi.Column, rows int) error {
	bits := (rows + 7) / 8
	fits := false
	switch field.DataType {
	case abi.Boolean:
		fits = len(column.Values) >= bits
	case abi.Int64, abi.Float64, abi.Timestamp:
		fits = len(column.Values) == rows*8
	case abi.UTF8, abi.Binary:
		fits = len(column.Offsets) == (rows+1)*4
	}
	if fits && (len(column.Validity) == 0 || len(column.Validity) >= bits) {
		return nil
	}
	return DataError(fmt.Sprintf(
		"column `%s` of type %s came with %d bytes of values, %d of offsets and %d of validity for %d rows",
		field.Name, field.DataType, len(column.Values), len(column.Offsets), len(column.Validity), rows))
}
