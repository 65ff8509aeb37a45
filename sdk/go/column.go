package yagura

import "slices"

// A handle is a column of a rule by index and type. The methods of [Rule] create it once. Get reads one value; In returns a view of
// all values of a batch. Reading the zero handle panics.

// TextColumn is the handle of a column of UTF-8 text; nested values are JSON text.
type TextColumn struct{ place int }

// Get returns the text in a row; false if it is NULL. The string is a view of the batch's memory, not a copy. It stays
// valid for as long as you keep it. Use strings.Clone for a copy that does not keep the other values of the batch alive.
func (c TextColumn) Get(row Row) (string, bool) {
	return row.batch.column(c.place).text(row.index)
}

// Or returns the text in a row, or `otherwise` if it is NULL.
func (c TextColumn) Or(row Row, otherwise string) string {
	if text, found := row.batch.column(c.place).text(row.index); found {
		return text
	}
	return otherwise
}

// In returns a view of the column in a batch: the fastest way to read many rows.
func (c TextColumn) In(batch *Batch) Texts {
	return Texts{view{batch.column(c.place)}}
}

// Int64Column is the handle of a column of whole numbers.
type Int64Column struct{ place int }

// Get returns the number in a row; false if it is NULL.
func (c Int64Column) Get(row Row) (int64, bool) {
	return row.batch.column(c.place).int64(row.index)
}

// Or returns the number in a row, or `otherwise` if it is NULL.
func (c Int64Column) Or(row Row, otherwise int64) int64 {
	if number, found := c.Get(row); found {
		return number
	}
	return otherwise
}

// In returns a view of the column in a batch.
func (c Int64Column) In(batch *Batch) Integers {
	return Integers{view{batch.column(c.place)}}
}

// Float64Column is the handle of a column of floating-point numbers.
type Float64Column struct{ place int }

// Get returns the number in a row; false if it is NULL.
func (c Float64Column) Get(row Row) (float64, bool) {
	return row.batch.column(c.place).float64(row.index)
}

// Or returns the number in a row, or `otherwise` if it is NULL.
func (c Float64Column) Or(row Row, otherwise float64) float64 {
	if number, found := c.Get(row); found {
		return number
	}
	return otherwise
}

// In returns a view of the column in a batch.
func (c Float64Column) In(batch *Batch) Floats {
	return Floats{view{batch.column(c.place)}}
}

// BooleanColumn is the handle of a column of truth values.
type BooleanColumn struct{ place int }

// Get returns the truth value in a row; false for `valid` if it is NULL.
func (c BooleanColumn) Get(row Row) (value, valid bool) {
	return row.batch.column(c.place).boolean(row.index)
}

// Or returns the truth value in a row, or `otherwise` if it is NULL.
func (c BooleanColumn) Or(row Row, otherwise bool) bool {
	if value, found := c.Get(row); found {
		return value
	}
	return otherwise
}

// In returns a view of the column in a batch.
func (c BooleanColumn) In(batch *Batch) Booleans {
	return Booleans{view{batch.column(c.place)}}
}

// TimeColumn is the handle of a column of times, in microseconds since 1970-01-01T00:00:00Z. [time.UnixMicro] makes a
// [time.Time] of one.
type TimeColumn struct{ place int }

// Get returns the time in a row; false if it is NULL.
func (c TimeColumn) Get(row Row) (int64, bool) {
	return row.batch.column(c.place).int64(row.index)
}

// Or returns the time in a row, or `otherwise` if it is NULL.
func (c TimeColumn) Or(row Row, otherwise int64) int64 {
	if time, found := c.Get(row); found {
		return time
	}
	return otherwise
}

// In returns a view of the column in a batch.
func (c TimeColumn) In(batch *Batch) Integers {
	return Integers{view{batch.column(c.place)}}
}

// BinaryColumn is the handle of a column of bytes.
type BinaryColumn struct{ place int }

// Get returns the bytes in a row; false if they are NULL. They are a view of the batch's memory, which stays valid
// for as long as you keep it.
func (c BinaryColumn) Get(row Row) ([]byte, bool) {
	bytes, found := row.batch.column(c.place).bytes(row.index)
	return slices.Clip(bytes), found
}

// In returns a view of the column in a batch.
func (c BinaryColumn) In(batch *Batch) Binaries {
	return Binaries{view{batch.column(c.place)}}
}
