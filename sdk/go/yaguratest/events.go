// Package yaguratest runs detectors natively, in the unit tests of their package: events from plain values, findings back.
// Checks, errors and panics are handled as in a host.
package yaguratest

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/yagura/yagura/sdk/go/internal/abi"
)

// Events is events for a test, column by column. Every column has a value, or nil for NULL, for each event.
//
//	events := yaguratest.NewEvents().
//		Text("user_name", "alice", nil).
//		Int64("bytes", 4096, 0)
type Events struct {
	rows   int
	fields []abi.Field
	// columns have the values as bytes, nil for NULL.
	columns [][][]byte
}

// NewEvents returns events without columns.
func NewEvents() *Events {
	return new(Events)
}

// Values returns a slice of values in the form that the columns of [Events] take:
//
//	events.Text("user_name", yaguratest.Values(names)...)
func Values[T any](values []T) []any {
	list := make([]any, 0, len(values))
	for _, value := range values {
		list = append(list, value)
	}
	return list
}

// Text adds a column of text, of strings or nil. It panics if the number of values differs from earlier columns, or a value has
// another type. The same holds for the methods below.
func (e *Events) Text(name string, values ...any) *Events {
	return e.add(name, abi.UTF8, values, func(value any) []byte {
		if text, fits := value.(string); fits {
			return append([]byte{}, text...)
		}
		return nil
	})
}

// Binary adds a column of bytes, of []byte or nil. A []byte that is nil is an empty value, not NULL.
func (e *Events) Binary(name string, values ...any) *Events {
	return e.add(name, abi.Binary, values, func(value any) []byte {
		if bytes, fits := value.([]byte); fits {
			return append([]byte{}, bytes...)
		}
		return nil
	})
}

// Int64 adds a column of whole numbers, of int, int64 or nil.
func (e *Events) Int64(name string, values ...any) *Events {
	return e.add(name, abi.Int64, values, integer)
}

// Float64 adds a column of floating-point numbers, of float64, int or nil.
func (e *Events) Float64(name string, values ...any) *Events {
	return e.add(name, abi.Float64, values, func(value any) []byte {
		switch value := value.(type) {
		case float64:
			return eight(math.Float64bits(value))
		case int:
			return eight(math.Float64bits(float64(value)))
		}
		return nil
	})
}

// Time adds a column of times: of [time.Time], of int or int64 in microseconds since 1970-01-01T00:00:00Z, or nil.
func (e *Events) Time(name string, values ...any) *Events {
	return e.add(name, abi.Timestamp, values, func(value any) []byte {
		if moment, fits := value.(time.Time); fits {
			return eight(uint64(moment.UnixMicro()))
		}
		return integer(value)
	})
}

// Boolean adds a column of truth values, of bool or nil.
func (e *Events) Boolean(name string, values ...any) *Events {
	return e.add(name, abi.Boolean, values, func(value any) []byte {
		switch value {
		case true:
			return []byte{1}
		case false:
			return []byte{0}
		}
		return nil
	})
}

// Len returns the number of events.
func (e *Events) Len() int {
	return e.rows
}

// Slice returns the events from index `from` until before index `to`, from zero: the same columns in a smaller batch.
func (e *Events) Slice(from, to int) *Events {
	part := &Events{rows: to - from, fields: e.fields}
	for _, values := range e.columns {
		part.columns = append(part.columns, values[from:to])
	}
	return part
}

func (e *Events) add(name string, dataType abi.DataType, values []any, encode func(any) []byte) *Events {
	if len(e.fields) > 0 && len(values) != e.rows {
		panic(fmt.Sprintf("column `%s` has %d values where the columns before have %d", name, len(values), e.rows))
	}
	column := make([][]byte, 0, len(values))
	for row, value := range values {
		var bytes []byte
		if value != nil {
			if bytes = encode(value); bytes == nil {
				panic(fmt.Sprintf("column `%s` of type %s has a %T in row %d", name, dataType, value, row))
			}
		}
		column = append(column, bytes)
	}
	e.rows = len(values)
	e.fields = append(e.fields, abi.Field{Name: name, DataType: dataType, Nullable: true})
	e.columns = append(e.columns, column)
	return e
}

// batch returns the events as a host would pass them.
func (e *Events) batch() *abi.Batch {
	batch := &abi.Batch{Rows: uint32(e.rows), Columns: make([]abi.Column, 0, len(e.columns))}
	for index, values := range e.columns {
		batch.Columns = append(batch.Columns, lay(e.fields[index].DataType, values))
	}
	return batch
}

func lay(dataType abi.DataType, values [][]byte) abi.Column {
	column := abi.Column{Validity: make([]byte, (len(values)+7)/8)}
	variable := dataType == abi.UTF8 || dataType == abi.Binary
	switch {
	case variable:
		column.Offsets = make([]byte, 4, 4*(len(values)+1))
	case dataType == abi.Boolean:
		column.Values = make([]byte, (len(values)+7)/8)
	}
	for row, value := range values {
		if value != nil {
			column.Validity[row/8] |= 1 << (row % 8)
		}
		switch {
		case variable:
			column.Values = append(column.Values, value...)
			column.Offsets = binary.LittleEndian.AppendUint32(column.Offsets, uint32(len(column.Values)))
		case dataType == abi.Boolean:
			if value != nil {
				column.Values[row/8] |= value[0] << (row % 8)
			}
		case value == nil:
			column.Values = append(column.Values, make([]byte, 8)...)
		default:
			column.Values = append(column.Values, value...)
		}
	}
	return column
}

func integer(value any) []byte {
	switch value := value.(type) {
	case int:
		return eight(uint64(value))
	case int64:
		return eight(uint64(value))
	}
	return nil
}

func eight(bits uint64) []byte {
	return binary.LittleEndian.AppendUint64(nil, bits)
}
