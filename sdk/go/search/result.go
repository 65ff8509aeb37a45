package search

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"

	"github.com/yagura/yagura/sdk/go/internal/abi"
	"github.com/yagura/yagura/sdk/go/internal/searching"
	"github.com/yagura/yagura/sdk/go/plugin"
)

// Result is the result of a search.
type Result struct{ events *searching.Events }

// Len returns the number of events.
func (r *Result) Len() int {
	return int(r.events.Batch.Rows)
}

// IsTruncated returns whether there are more events than the limit.
func (r *Result) IsTruncated() bool {
	return r.events.Truncated
}

// Rows returns the events in order of time.
func (r *Result) Rows() iter.Seq[Row] {
	return func(yield func(Row) bool) {
		for index := range r.Len() {
			if !yield(Row{r.events, index}) {
				return
			}
		}
	}
}

// Row is one event. Its methods take the names of columns of the query. They panic for another name or type: this is a mistake in
// the code, and is reported with its line.
type Row struct {
	events *searching.Events
	index  int
}

// Text returns the value in a column as text, whatever its type; empty if there is none. Times are RFC 3339 in UTC.
func (r Row) Text(name string) string {
	field, _ := r.column(name)
	switch field.DataType {
	case abi.Int64:
		number, found := r.Int64(name)
		return textIf(found, strconv.FormatInt(number, 10))
	case abi.Float64:
		number, found := r.Float64(name)
		return textIf(found, strconv.FormatFloat(number, 'g', -1, 64))
	case abi.Boolean:
		value, found := r.Boolean(name)
		return textIf(found, strconv.FormatBool(value))
	case abi.Timestamp:
		time, found := r.Time(name)
		return textIf(found, plugin.FormatTime(time))
	}
	return string(r.bytes(name))
}

// Int64 returns the number in a column of whole numbers; false if there is none.
func (r Row) Int64(name string) (number int64, found bool) {
	bits, found := r.eight(name, abi.Int64)
	return int64(bits), found
}

// Time returns the time in a column of times, in microseconds since 1970-01-01T00:00:00Z; false if there is none.
func (r Row) Time(name string) (micros int64, found bool) {
	bits, found := r.eight(name, abi.Timestamp)
	return int64(bits), found
}

// Float64 returns the number in a column of floating-point numbers; false if there is none.
func (r Row) Float64(name string) (number float64, found bool) {
	bits, found := r.eight(name, abi.Float64)
	return math.Float64frombits(bits), found
}

// Boolean returns the truth value in a column; false for `found` if there is none.
func (r Row) Boolean(name string) (value, found bool) {
	column := r.typed(name, abi.Boolean)
	return bit(column.Values, r.index), r.has(column)
}

// Binary returns the bytes in a column of bytes or text; nil if there are none.
func (r Row) Binary(name string) []byte {
	field, _ := r.column(name)
	if field.DataType != abi.UTF8 {
		r.typed(name, abi.Binary)
	}
	return r.bytes(name)
}

func (r Row) bytes(name string) []byte {
	_, column := r.column(name)
	if !r.has(column) || len(column.Offsets) < 4*(r.index+2) {
		return nil
	}
	start, end := abi.Word(column.Offsets, 4*r.index), abi.Word(column.Offsets, 4*r.index+4)
	if start > end || int(end) > len(column.Values) {
		return nil
	}
	return column.Values[start:end:end]
}

func (r Row) eight(name string, dataType abi.DataType) (bits uint64, found bool) {
	column := r.typed(name, dataType)
	if !r.has(column) || len(column.Values) < 8*(r.index+1) {
		return 0, false
	}
	return binary.LittleEndian.Uint64(column.Values[8*r.index:]), true
}

func (r Row) has(column *abi.Column) bool {
	return len(column.Validity) == 0 || bit(column.Validity, r.index)
}

func (r Row) typed(name string, wanted abi.DataType) *abi.Column {
	field, column := r.column(name)
	if field.DataType != wanted {
		panic(fmt.Sprintf("column `%s` of the search is of type %s where the plugin reads %s", name, field.DataType, wanted))
	}
	return column
}

func (r Row) column(name string) (*abi.Field, *abi.Column) {
	known := make([]string, 0, len(r.events.Schema))
	for index := range r.events.Schema {
		if r.events.Schema[index].Name == name {
			return &r.events.Schema[index], &r.events.Batch.Columns[index]
		}
		known = append(known, "`"+r.events.Schema[index].Name+"`")
	}
	panic(fmt.Sprintf("the search asked for no column `%s`: name it in Columns, which are %s", name, strings.Join(known, ", ")))
}

func bit(bits []byte, row int) bool {
	return row/8 < len(bits) && bits[row/8]>>(row%8)&1 == 1
}

func textIf(found bool, text string) string {
	if !found {
		return ""
	}
	return text
}
