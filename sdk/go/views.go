package yagura

import "slices"

// view is what the views of all types share.
type view struct{ column *column }

// Len returns the number of rows.
func (v view) Len() int {
	return v.column.rows
}

// IsNull says whether a row, from zero, has no value; rows outside the batch have none.
func (v view) IsNull(row int) bool {
	return !v.column.has(row)
}

// HasNulls says whether some row may have no value; false promises that every row has one.
func (v view) HasNulls() bool {
	return len(v.column.validity) != 0
}

// Texts is the values of a [TextColumn] in a batch.
type Texts struct{ view }

// At returns the text in a row, from zero; false if it is NULL. See [TextColumn.Get] on how long it is valid.
func (t Texts) At(row int) (string, bool) {
	return t.column.text(row)
}

// Integers is the values of an [Int64Column] or a [TimeColumn] in a batch.
type Integers struct{ view }

// At returns the number in a row, from zero; false if it is NULL.
func (i Integers) At(row int) (int64, bool) {
	return i.column.int64(row)
}

// Values returns the numbers of all rows, with any value at all where a row is NULL. The slice is the host's own bytes
// wherever they lie aligned, which they do in a component; it must not be written to.
func (i Integers) Values() []int64 {
	return words[int64](i.column.values)
}

// Floats is the values of a [Float64Column] in a batch.
type Floats struct{ view }

// At returns the number in a row, from zero; false if it is NULL.
func (f Floats) At(row int) (float64, bool) {
	return f.column.float64(row)
}

// Values returns the numbers of all rows, as [Integers.Values] does.
func (f Floats) Values() []float64 {
	return words[float64](f.column.values)
}

// Booleans is the values of a [BooleanColumn] in a batch.
type Booleans struct{ view }

// At returns the truth value in a row, from zero; false for `valid` if it is NULL.
func (b Booleans) At(row int) (value, valid bool) {
	return b.column.boolean(row)
}

// Binaries is the values of a [BinaryColumn] in a batch.
type Binaries struct{ view }

// At returns the bytes in a row, from zero; false if they are NULL. See [BinaryColumn.Get] on how long they are valid.
func (b Binaries) At(row int) ([]byte, bool) {
	bytes, found := b.column.bytes(row)
	return slices.Clip(bytes), found
}
